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

// A replica is killed at each step between charge and answer. What was charged stays charged, and only what was settled
// as right is right.
func TestAReplicaDies(t *testing.T) {
	must(t, build("pin-internal-attack", "-tags", "attack"))
	for _, step := range []struct {
		at, typed string
		// left are the attempts that are left afterwards.
		left int
	}{
		{"charged", wrong, 4}, {"charged", right, 4}, {"compared", wrong, 4}, {"compared", right, 4}, {"settled", right, 5},
	} {
		t.Run(step.at+" "+map[string]string{right: "right", wrong: "wrong"}[step.typed], func(t *testing.T) {
			s := newStack(t, 1)
			dying := s.start("pin-internal-attack", "ATTACK_AT="+step.at+"=KILL")
			r := &result{answers: []answer{s.guess(dying, s.typing(step.typed))}}
			<-dying.process.Done()
			if r.lost() != 1 || s.charged(s.person) != 1 {
				t.Errorf("answered %+v, %d charged", r.answers[0], s.charged(s.person))
			}
			for range step.left {
				r.answers = append(r.answers, s.guess(s.replicas[0], s.typing(wrong)))
			}
			if last := r.answers[len(r.answers)-1]; last.remaining == nil || *last.remaining != 0 || last.lockedAt == nil {
				t.Errorf("after %d wrong guesses: %+v", step.left, last)
			}
			if locked := s.guess(s.replicas[0], s.typing(right)); locked.error != "pin_locked" {
				t.Errorf("one guess more: %+v", locked)
			}
			s.holds(r, s.comparisons(), false)
		})
	}
}

// A replica freezes with a right verdict in its hands, longer than every timeout, while its holder's PIN stays or is set
// anew. Woken, its verdict is a failure.
func TestAReplicaSleeps(t *testing.T) {
	must(t, build("pin-internal-attack", "-tags", "attack"))
	for _, rule := range []struct {
		name  string
		sleep time.Duration
		reset bool
	}{
		{"longer than every timeout", 17 * time.Second, false},
		{"over a set", time.Second, true},
		{"over a set, longer than every timeout", 17 * time.Second, true},
	} {
		t.Run(rule.name, func(t *testing.T) {
			s := newStack(t, 1)
			sleepy := s.start("pin-internal-attack", "ATTACK_AT=compared=STOP")
			late := make(chan answer)
			go func() { late <- s.guess(sleepy, s.typing(right)) }()
			sleepy.frozen(t)
			if rule.reset {
				s.set(s.person, other)
			}
			time.Sleep(rule.sleep)
			must(t, sleepy.process.Signal(syscall.SIGCONT))
			r := &result{answers: []answer{<-late}}
			if r.rights()+r.tokens() > 0 || s.settled(s.person, "right") != 0 {
				t.Errorf("the late verdict counted: %+v", r.answers[0])
			}
			typed, left := wrong, budget-1
			if rule.reset {
				left = budget
			}
			for range left {
				r.answers = append(r.answers, s.guess(s.replicas[0], s.typing(typed)))
			}
			if last := r.answers[len(r.answers)-1]; last.lockedAt == nil {
				t.Errorf("after %d wrong guesses: %+v", left, last)
			}
			s.report(r, s.comparisons()+sleepy.comparisons(t))
		})
	}
}

// Replicas are frozen and woken in turn, from outside, at any step, in the middle of a storm.
func TestReplicasFreezeInAStorm(t *testing.T) {
	s := newStack(t, 3)
	storm := make(chan *result)
	go func() { storm <- s.storm(1000, func(int) map[string]any { return s.typing(wrong) }) }()
	stop := always(func() {
		r := s.replicas[s.random.IntN(3)]
		_ = r.process.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(s.random.IntN(300)) * time.Millisecond)
		_ = r.process.Signal(syscall.SIGCONT)
	})
	r := <-storm
	stop()
	s.holds(r, s.comparisons(), true)
}

// Every replica is replaced, one after another, in the middle of a storm on one holder, while others confirm.
func TestRollingRestart(t *testing.T) {
	s := newStack(t, 3)
	honest := s.newPerson()
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
				into, typed := r, s.typing(wrong)
				if i == 0 {
					into, typed = confirmed, honest.typing(right)
				}
				a := s.guess(at, typed)
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
	// The counters of the old replicas are gone with them; what they settled is not.
	compared := s.settled(s.person, "wrong")
	s.holds(r, compared, true)
	if s.charged(s.person) != budget || r.rights() > 0 {
		t.Errorf("%d charged, %d right", s.charged(s.person), r.rights())
	}
	if wrong := confirmed.count(func(a answer) bool { return a.status == 200 && !a.verified }); wrong > 0 {
		t.Errorf("%d right PINs were refused", wrong)
	}
	t.Logf("%d of %d confirmations; the others met a replica that was just away", confirmed.rights(), len(confirmed.answers))
}

// A replica whose clock is a day off keeps every budget, and every lock as long as it is.
func TestAClockIsADayOff(t *testing.T) {
	s := newStack(t, 1)
	buildAhead(t, "pin-internal-ahead", 24)
	buildAhead(t, "pin-internal-behind", -24)
	s.replicas = append(s.replicas, s.start("pin-internal-ahead"), s.start("pin-internal-behind"))
	r := s.storm(300, func(int) map[string]any { return s.typing(wrong) })
	s.holds(r, s.comparisons(), true)
	for i, at := range s.replicas {
		a := s.guess(at, s.typing(right))
		if a.error != "pin_locked" || a.lockedAt == nil || time.Until(*a.lockedAt) > 15*time.Minute || time.Until(*a.lockedAt) < 14*time.Minute {
			t.Errorf("replica %d: %+v", i, a)
		}
	}
	s.people.Exec(`update pin_holders set locked_until = now() where holder_id = $1`, s.identity)
	for i, at := range s.replicas {
		if a := s.guess(at, s.typing(right)); !a.verified {
			t.Errorf("after the lock, replica %d: %+v", i, a)
		}
	}
	// A session that one of them issued counts at all of them.
	token := s.guess(s.replicas[1], s.typing(right)).token
	for i, at := range s.replicas {
		if a := s.post(at, "/pin/sessions/introspect", map[string]any{"session_token": token}); a.status != 200 || !a.active {
			t.Errorf("the session at replica %d: %+v", i, a)
		}
	}
}

// A thousand things that an agent and an admin may do, at random replicas, held against a budget kept by hand.
func TestOnlyThreeThingsRenew(t *testing.T) {
	s := newStack(t, 3)
	second := person{s.customer, s.people.Identity(s.customer, s.instance)}
	s.set(second, right)
	redis := direct(t, s.redis.URL)
	random := rand.New(rand.NewPCG(run.seed, 1))
	r := &result{}
	path := "/identities/" + s.identity.String() + "/pin"
	// By hand: attempts spent of this window, failures in a row, and which PIN there is.
	spent, failures, digits := 0, 0, right
	locked, deactivated := false, false
	spellings := []func(string) map[string]any{
		s.typing,
		func(d string) map[string]any {
			return map[string]any{"pin": d, "identity_id": strings.ToUpper(s.identity.String())}
		},
		func(d string) map[string]any {
			return map[string]any{"pin": d, "identity_id": s.identity, "customer_id": strings.ToUpper(s.customer.String())}
		},
	}
	for i := range 1000 {
		at := s.replicas[random.IntN(3)]
		wait := locked || deactivated
		switch what := random.IntN(20); {
		case what < 9:
			typed := other
			if digits == other {
				typed = right
			}
			a := s.guess(at, spellings[random.IntN(3)](typed))
			r.answers = append(r.answers, a)
			if digits == "" {
				continue // nobody has a PIN but the second identity
			}
			if wait != (a.error == "pin_locked" || a.error == "pin_inactive") || a.verified {
				t.Fatalf("step %d: %+v, with %d spent, %d failures", i, a, spent, failures)
			}
			if !wait {
				spent, failures = spent+1, failures+1
				deactivated = failures == 50
				locked = spent == budget && !deactivated
				if left := budget - spent; a.remaining == nil || *a.remaining != left && !deactivated {
					t.Fatalf("step %d: %+v, with %d spent", i, a, spent)
				}
			}
		case what < 10 && digits != "":
			a := s.guess(at, s.typing(digits))
			r.answers = append(r.answers, a)
			if a.verified == wait {
				t.Fatalf("step %d: the right PIN: %+v, with %d spent, %d failures", i, a, spent, failures)
			}
			if !wait {
				spent, failures = 0, 0
			}
		case what < 13:
			digits = s.change(i, "POST", at, path, wait, digits, []string{right, other}[random.IntN(2)])
		case what < 14:
			digits = s.change(i, "DELETE", at, path, wait, digits, "")
		case what < 15:
			if random.IntN(6) == 0 {
				s.set(s.person, right)
				spent, failures, digits, locked, deactivated = 0, 0, right, false, false
			}
		case what < 16:
			if _, err := s.admin.Unlock(context.Background(), s.holder()); err != nil {
				t.Fatal(err)
			}
			spent, locked = 0, false
		case what < 17:
			s.guess(at, second.typing(right))
		case what < 18:
			redis.FlushAll(context.Background())
		case what < 19:
			s.people.Exec(`update pin_holders set locked_until = now() where holder_id = $1 and locked_until > now()`, s.identity)
			if locked {
				spent, locked = 0, false
			}
		}
	}
	s.report(r, s.comparisons())
}

// change sets or removes the PIN as an agent does, and returns the one that there is then.
func (s *stack) change(step int, method string, at *replica, path string, refused bool, before, after string) string {
	s.t.Helper()
	var body map[string]any
	if after != "" {
		body = map[string]any{"pin": after}
	}
	switch a := s.ask(method, at, path, body); {
	case refused && a.status == 409:
		return before
	case !refused && a.status < 300:
		return after
	default:
		s.t.Fatalf("step %d: %s answered %+v, refused %v", step, method, a, refused)
	}
	return before
}
