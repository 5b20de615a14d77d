//go:build attack

package attack

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A replica is killed at each step between the charge and the answer. The attempt stays charged. Its outcome is right only
// if it was settled before the kill.
func TestReplicaIsKilled(t *testing.T) {
	must(t, build("pin-internal-attack", "-tags", "attack"))
	for _, step := range []struct {
		at, pin string
		// left is the number of attempts that are left afterwards.
		left int
	}{
		{"charged", wrong, 4}, {"charged", right, 4}, {"compared", wrong, 4}, {"compared", right, 4}, {"settled", right, 5},
	} {
		t.Run(step.at+" "+map[string]string{right: "right", wrong: "wrong"}[step.pin], func(t *testing.T) {
			s := newStack(t, 1)
			killed := s.start("pin-internal-attack", "ATTACK_AT="+step.at+"=KILL")
			r := &result{answers: []answer{s.guess(killed, s.withPIN(step.pin))}}
			<-killed.process.Done()
			if r.unanswered() != 1 || s.charged(s.person) != 1 {
				t.Errorf("the answer is %+v, %d attempts charged", r.answers[0], s.charged(s.person))
			}
			for range step.left {
				r.answers = append(r.answers, s.guess(s.replicas[0], s.withPIN(wrong)))
			}
			if last := r.answers[len(r.answers)-1]; last.remaining == nil || *last.remaining != 0 || last.lockedAt == nil {
				t.Errorf("after %d wrong guesses: %+v", step.left, last)
			}
			if locked := s.guess(s.replicas[0], s.withPIN(right)); locked.error != "pin_locked" {
				t.Errorf("a further guess: %+v, want pin_locked", locked)
			}
			s.checkBudget(r, s.comparisons(), false)
		})
	}
}

// A replica freezes after it has compared a right PIN. It continues after every timeout, or after the PIN was set again. Its
// outcome does not count.
func TestFrozenReplicaSettlesTooLate(t *testing.T) {
	must(t, build("pin-internal-attack", "-tags", "attack"))
	for _, rule := range []struct {
		name  string
		sleep time.Duration
		reset bool
	}{
		{"longer than every timeout", 17 * time.Second, false},
		{"during a set", time.Second, true},
		{"during a set, longer than every timeout", 17 * time.Second, true},
	} {
		t.Run(rule.name, func(t *testing.T) {
			s := newStack(t, 1)
			frozen := s.start("pin-internal-attack", "ATTACK_AT=compared=STOP")
			late := make(chan answer)
			go func() { late <- s.guess(frozen, s.withPIN(right)) }()
			frozen.waitUntilFrozen(t)
			if rule.reset {
				s.set(s.person, other)
			}
			time.Sleep(rule.sleep)
			must(t, frozen.process.Signal(syscall.SIGCONT))
			r := &result{answers: []answer{<-late}}
			if r.verified()+r.tokens() > 0 || s.settled(s.person, "right") != 0 {
				t.Errorf("the late outcome counted: %+v", r.answers[0])
			}
			left := budget - 1
			if rule.reset {
				left = budget
			}
			for range left {
				r.answers = append(r.answers, s.guess(s.replicas[0], s.withPIN(wrong)))
			}
			if last := r.answers[len(r.answers)-1]; last.lockedAt == nil {
				t.Errorf("after %d wrong guesses: %+v", left, last)
			}
			s.report(r, s.comparisons()+frozen.comparisons(t))
		})
	}
}

// While guesses arrive, random replicas are frozen and resumed at random steps.
func TestReplicasFreezeDuringGuesses(t *testing.T) {
	s := newStack(t, 3)
	results := make(chan *result)
	go func() { results <- s.guessInParallel(1000, func(int) map[string]any { return s.withPIN(wrong) }) }()
	stop := repeat(func() {
		r := s.replicas[s.random.IntN(3)]
		_ = r.process.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(s.random.IntN(300)) * time.Millisecond)
		_ = r.process.Signal(syscall.SIGCONT)
	})
	r := <-results
	stop()
	s.checkBudget(r, s.comparisons(), true)
}

// All replicas are replaced one after another, while one holder gets wrong guesses and another person confirms.
func TestRollingRestart(t *testing.T) {
	s := newStack(t, 3)
	other := s.newPerson()
	var lock sync.RWMutex
	var mu sync.Mutex
	r, confirmed := &result{}, &result{}
	quit := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				default:
				}
				lock.RLock()
				at := s.replicas[(i+n)%3]
				lock.RUnlock()
				into, body := r, s.withPIN(wrong)
				if i == 0 {
					into, body = confirmed, other.withPIN(right)
				}
				a := s.guess(at, body)
				mu.Lock()
				into.answers = append(into.answers, a)
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	for i := range s.replicas {
		must(t, s.replicas[i].process.Stop(syscall.SIGTERM, 20*time.Second))
		next := s.startOn(s.replicas[i].ports, "pin-internal")
		lock.Lock()
		s.replicas[i] = next
		lock.Unlock()
	}
	close(quit)
	clients.Wait()
	// The old replicas' metrics are lost, so count the settled attempts in the database.
	compared := s.settled(s.person, "wrong")
	s.checkBudget(r, compared, true)
	if s.charged(s.person) != budget || r.verified() > 0 {
		t.Errorf("%d attempts charged, %d right", s.charged(s.person), r.verified())
	}
	if wrong := confirmed.count(func(a answer) bool { return a.status == 200 && !a.verified }); wrong > 0 {
		t.Errorf("%d right PINs were refused", wrong)
	}
	t.Logf("%d of %d confirmations; the other requests reached a replica that was stopped", confirmed.verified(), len(confirmed.answers))
}

// A replica whose clock is wrong by a day keeps every budget, and every lock has the right length.
func TestReplicaClocksAreWrong(t *testing.T) {
	s := newStack(t, 1)
	buildWithWrongClock(t, "pin-internal-ahead", "pin-internal", 24)
	buildWithWrongClock(t, "pin-internal-behind", "pin-internal", -24)
	s.replicas = append(s.replicas, s.start("pin-internal-ahead"), s.start("pin-internal-behind"))
	r := s.guessInParallel(300, func(int) map[string]any { return s.withPIN(wrong) })
	s.checkBudget(r, s.comparisons(), true)
	for i, at := range s.replicas {
		a := s.guess(at, s.withPIN(right))
		if a.error != "pin_locked" || a.lockedAt == nil || time.Until(*a.lockedAt) > 15*time.Minute || time.Until(*a.lockedAt) < 14*time.Minute {
			t.Errorf("replica %d: %+v", i, a)
		}
	}
	s.endLock(s.person)
	for i, at := range s.replicas {
		if a := s.guess(at, s.withPIN(right)); !a.verified {
			t.Errorf("after the lock, replica %d: %+v", i, a)
		}
	}
	// A session of one replica is valid at all replicas.
	token := s.guess(s.replicas[1], s.withPIN(right)).token
	for i, at := range s.replicas {
		if a := s.send("POST", at, "/pin/sessions/introspect", map[string]any{"session_token": token}); a.status != 200 || !a.active {
			t.Errorf("the session is not valid at replica %d: %+v", i, a)
		}
	}
}

// An agent and an admin do 1,000 random operations at random replicas. The test keeps the same budget itself and compares each
// answer with it.
func TestRandomOperationsKeepTheBudget(t *testing.T) {
	s := newStack(t, 3)
	second := person{s.customer, s.people.Identity(s.customer, s.instance)}
	s.set(second, right)
	redis := redisClient(t, s.redis.URL)
	random := rand.New(rand.NewPCG(run.seed, 1))
	r := &result{}
	path := "/identities/" + s.identity.String() + "/pin"
	// The test's own budget: attempts in this window, consecutive failures, and the current PIN (empty: none).
	spent, failures, digits := 0, 0, right
	locked, deactivated := false, false
	spellings := []func(string) map[string]any{
		s.withPIN,
		func(d string) map[string]any {
			return map[string]any{"pin": d, "identity_id": strings.ToUpper(s.identity.String())}
		},
		func(d string) map[string]any {
			return map[string]any{"pin": d, "identity_id": s.identity, "customer_id": strings.ToUpper(s.customer.String())}
		},
	}
	for i := range 1000 {
		at := s.replicas[random.IntN(3)]
		refused := locked || deactivated
		switch operation := random.IntN(20); {
		case operation < 9:
			candidate := other
			if digits == other {
				candidate = right
			}
			a := s.guess(at, spellings[random.IntN(3)](candidate))
			r.answers = append(r.answers, a)
			if digits == "" {
				continue // the identity has no PIN
			}
			if refused != (a.error == "pin_locked" || a.error == "pin_inactive") || a.verified {
				t.Fatalf("step %d: %+v, with %d spent, %d failures", i, a, spent, failures)
			}
			if !refused {
				spent, failures = spent+1, failures+1
				deactivated = failures == 50
				locked = spent == budget && !deactivated
				if left := budget - spent; a.remaining == nil || *a.remaining != left && !deactivated {
					t.Fatalf("step %d: %+v, with %d spent", i, a, spent)
				}
			}
		case operation < 10 && digits != "":
			a := s.guess(at, s.withPIN(digits))
			r.answers = append(r.answers, a)
			if a.verified == refused {
				t.Fatalf("step %d: the right PIN: %+v, with %d spent, %d failures", i, a, spent, failures)
			}
			if !refused {
				spent, failures = 0, 0
			}
		case operation < 13:
			digits = s.change(i, "POST", at, path, refused, digits, []string{right, other}[random.IntN(2)])
		case operation < 14:
			digits = s.change(i, "DELETE", at, path, refused, digits, "")
		case operation < 15:
			if random.IntN(6) == 0 {
				s.set(s.person, right)
				spent, failures, digits, locked, deactivated = 0, 0, right, false, false
			}
		case operation < 16:
			if _, err := s.admin.Unlock(context.Background(), s.holder()); err != nil {
				t.Fatal(err)
			}
			spent, locked = 0, false
		case operation < 17:
			s.guess(at, second.withPIN(right))
		case operation < 18:
			redis.FlushAll(context.Background())
		case operation < 19:
			s.endLock(s.person)
			if locked {
				spent, locked = 0, false
			}
		}
	}
	s.report(r, s.comparisons())
}

// change sets or removes the PIN as an agent, and returns the PIN that is set afterwards.
func (s *stack) change(step int, method string, at *replica, path string, refused bool, before, after string) string {
	s.t.Helper()
	var body map[string]any
	if after != "" {
		body = map[string]any{"pin": after}
	}
	switch a := s.send(method, at, path, body); {
	case refused && a.status == 409:
		return before
	case !refused && a.status < 300:
		return after
	default:
		s.t.Fatalf("step %d: %s answered %+v, refused %v", step, method, a, refused)
	}
	return before
}
