//go:build attack

package attack

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// storeFaults are faults of both stores. start starts the fault, and end ends it.
var storeFaults = []struct {
	name  string
	start func(*stack) (end func())
}{
	{"Redis flushed", func(s *stack) func() {
		client := redisClient(s.t, s.redis.URL)
		return repeat(func() { client.FlushAll(context.Background()) })
	}},
	{"Redis killed", func(s *stack) func() { s.redis.Stop(); return s.redis.Start }},
	{"Redis frozen", func(s *stack) func() { s.redis.Pause(); return s.redis.Resume }},
	{"Redis, every connection closed", func(s *stack) func() {
		return repeat(func() {
			s.toRedis.Stop()
			time.Sleep(20 * time.Millisecond)
			_ = s.toRedis.Start()
			time.Sleep(20 * time.Millisecond)
		})
	}},
	{"Postgres killed and started again", func(s *stack) func() {
		killPostgres(s.t)
		return func() { startKilledPostgres(s.t) }
	}},
	{"Postgres, every connection closed", func(s *stack) func() {
		return repeat(func() {
			s.toPostgres.Stop()
			time.Sleep(20 * time.Millisecond)
			_ = s.toPostgres.Start()
			time.Sleep(time.Duration(20+s.random.IntN(80)) * time.Millisecond)
		})
	}},
}

func killPostgres(t *testing.T) {
	t.Helper()
	must(t, run.postgres.Signal(syscall.SIGKILL))
	<-run.postgres.Done()
}

// startKilledPostgres starts the server again. The server refuses to start until all processes of the killed one have ended.
func startKilledPostgres(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		server, err := localstores.StartPostgres(context.Background(), run.options)
		if err == nil {
			run.postgres = server
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// A fault of a store exists while approvals are used with several use_ids, and while wrong PINs arrive at the link of another one.
// Each approval is used once, the winner always gets the same answer, and nothing opens without a right PIN.
func TestUseThroughFaults(t *testing.T) {
	whole := newApprovalStack(t, 3, 2)
	for _, fault := range storeFaults {
		for _, grants := range []string{skill, sessionSkill} {
			t.Run(fault.name+" "+grants, func(t *testing.T) {
				s := whole.with(t)
				var approved []reply
				for n := range 3 {
					approved = append(approved, s.approved(s.person, grants, fmt.Sprint(n)))
				}
				stranger := s.newPerson()
				pending := s.asked(stranger, grants, "1")
				send := func(i int) reply {
					switch {
					case i%10 == 0:
						return decide(s.admins[i/10%2], pending.link(), "approve", wrong)
					case i%10 == 1:
						return s.use(s.replicas[i%3], pending.ID, useID(i), nil)
					}
					return s.use(s.replicas[i%3], approved[i%3].ID, useID(i/3%4), nil)
				}
				replies := make(chan []reply)
				go func() { replies <- inParallel(300, send) }()
				time.Sleep(time.Duration(s.random.IntN(30)) * time.Millisecond)
				end := fault.start(s.stack)
				all := <-replies
				end()
				for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
					r := s.wait(s.replicas[0], approved[0].ID, 0)
					if r.status == 200 && s.agent(s.replicas[0], "POST", "/pin/sessions/introspect", map[string]any{"session_token": "x"}).status == 200 {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("no answer after the fault: %s", r)
					}
				}
				time.Sleep(1100 * time.Millisecond) // a replica does not call Redis for one second after three failures
				for n := range 36 {
					all = append(all, s.use(s.replicas[n/12], approved[n%3].ID, useID(n/3%4), nil))
				}
				fmt.Printf("%-72s %v  p99 %s\n", t.Name(), count(all), p99(all))
				s.checkReplies(all, false)
				// The last 36 uses are known by their place, the others by the function send.
				bodies := map[int]string{}
				winners := map[int]int{}
				for i, r := range all {
					if !r.opens() {
						continue
					}
					k, id := i%3, i/3%4
					if i >= 300 {
						k, id = (i-300)%3, (i-300)/3%4
					} else if i%10 < 2 {
						t.Fatalf("the approval without a right PIN opened: %s", r)
					}
					if before, won := bodies[k]; won && (before != r.body || winners[k] != id) {
						t.Errorf("approval %d: use_id %d got %s, use_id %d got %s", k, winners[k], before, id, r.body)
					}
					bodies[k], winners[k] = r.body, id
				}
				for k, a := range approved {
					if r := s.row(a.ID); r.Status != "used" || r.Uses != 1 || bodies[k] == "" {
						t.Errorf("approval %d: %+v, answer %q", k, r, bodies[k])
					}
				}
				if r := s.row(pending.ID); r.Tries > 2 || r.Status != "pending" && r.Status != "denied" || r.Uses > 0 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// The stores lose everything that they may lose between any two steps. The next step is answered as if nothing had happened.
func TestStoresRestartAtEachStep(t *testing.T) {
	all := newApprovalStack(t, 2, 1)
	for _, fault := range []struct {
		name   string
		grants []string
		do     func(*stack)
	}{
		{"Redis flushed", []string{skill, sessionSkill}, func(s *stack) { redisClient(s.t, s.redis.URL).FlushAll(context.Background()) }},
		{"Redis restarted", []string{skill, sessionSkill}, func(s *stack) { s.redis.Stop(); s.redis.Start() }},
		{"every connection closed", []string{skill, sessionSkill}, func(s *stack) {
			s.toPostgres.Stop()
			s.toRedis.Stop()
			must(s.t, s.toPostgres.Start())
			must(s.t, s.toRedis.Start())
		}},
		{"Postgres killed", []string{skill}, func(s *stack) { killPostgres(s.t); startKilledPostgres(s.t) }}, // takes seconds
	} {
		for _, grants := range fault.grants {
			t.Run(fault.name+" "+grants, func(t *testing.T) {
				s := all.with(t)
				// step does a step until it is not answered 503. Nothing is done twice: a request that was answered 503 has a known outcome.
				step := func(name string, want int, send func() reply) (r reply) {
					t.Helper()
					fault.do(s.stack)
					for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
						if r = send(); r.status != 503 && r.status != 0 {
							break
						}
					}
					if r.status != want {
						t.Fatalf("%s: %s", name, r)
					}
					return r
				}
				again := func(status int) func(reply) int {
					return func(r reply) int {
						if r.status == 200 {
							return status
						}
						return r.status
					}
				}
				asked := step("ask", 201, func() reply {
					r := s.ask(s.replicas[0], s.person, grants, transfer("1"))
					r.status = again(201)(r) // an answer may have been lost
					return r
				})
				if same := step("ask again", 200, func() reply { return s.ask(s.replicas[1], s.person, grants, transfer("1")) }); same.URL != asked.URL {
					t.Errorf("another link: %s", same)
				}
				view := step("open", 200, func() reply { return open(s.admins[0], asked.link()) })
				step("a wrong PIN", 200, func() reply { return decideView(s.admins[0], asked.link(), view.ViewHash, "approve", wrong) })
				if r := step("use before the approval", 409, func() reply { return s.use(s.replicas[0], asked.ID, useID(1), nil) }); r.Code != "approval_pending" {
					t.Errorf("%s", r)
				}
				if r := step("approve", 200, func() reply { return decideView(s.admins[0], asked.link(), view.ViewHash, "approve", right) }); r.Status != "approved" {
					t.Fatalf("%s", r)
				}
				if r := step("wait", 200, func() reply { return s.wait(s.replicas[0], asked.ID, 5) }); r.Status != "approved" {
					t.Errorf("%s", r)
				}
				first := step("use", 200, func() reply { return s.use(s.replicas[0], asked.ID, useID(1), nil) })
				if r := step("use again", 200, func() reply { return s.use(s.replicas[1], asked.ID, useID(1), nil) }); r.body != first.body || !r.opens() {
					t.Errorf("first %s, then %s", first, r)
				}
				if r := step("another use_id", 409, func() reply { return s.use(s.replicas[1], asked.ID, useID(2), nil) }); r.Code != "approval_used" {
					t.Errorf("%s", r)
				}
				if r := s.row(asked.ID); r.Uses != 1 || r.Tries != 2 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// A replica is killed at each step between the charge of a PIN and the answer to a use.
func TestReplicaIsKilledDuringApproval(t *testing.T) {
	must(t, buildService("pin-admin-attack", "pin-admin", "-tags", "attack"))
	must(t, build("pin-internal-attack", "-tags", "attack"))
	all := newApprovalStack(t, 2, 1)
	for _, step := range []struct {
		at, pin string
		// status is the status afterwards.
		status string
	}{
		{"charged", right, "pending"}, {"charged", wrong, "pending"}, {"compared", right, "pending"}, {"compared", wrong, "pending"}, {"settled", right, "approved"},
	} {
		t.Run("decide "+step.at+" "+map[string]string{right: "right", wrong: "wrong"}[step.pin], func(t *testing.T) {
			s := all.with(t)
			killed := s.startPINAdmin("pin-admin-attack", "ATTACK_AT="+step.at+"=KILL")
			a := s.asked(s.person, skill, "1")
			if d := decide(killed, a.link(), "approve", step.pin); d.status != 0 {
				t.Fatalf("the replica was not killed: %s", d)
			}
			<-killed.process.Done()
			if r := s.row(a.ID); r.Status != step.status || r.Tries != 1 || s.charged(s.person) != 1 {
				t.Fatalf("%+v, %d charged", r, s.charged(s.person))
			}
			if step.status == "pending" {
				if r := s.use(s.replicas[0], a.ID, useID(1), nil); r.Code != "approval_pending" {
					t.Errorf("a use before the approval: %s", r)
				}
				if d := decide(s.admins[0], a.link(), "approve", right); d.Status != "approved" {
					t.Errorf("the second try: %s", d)
				}
			}
			first, again, other := s.use(s.replicas[0], a.ID, useID(1), nil), s.use(s.replicas[1], a.ID, useID(1), nil), s.use(s.replicas[1], a.ID, useID(2), nil)
			if !first.opens() || again.body != first.body || other.Code != "approval_used" {
				t.Errorf("%s, again %s, another use_id %s", first, again, other)
			}
		})
	}
	t.Run("two tries are lost", func(t *testing.T) {
		s := all.with(t)
		a := s.asked(s.person, skill, "1")
		for range 2 {
			killed := s.startPINAdmin("pin-admin-attack", "ATTACK_AT=compared=KILL")
			decide(killed, a.link(), "approve", right)
			<-killed.process.Done()
		}
		d := decide(s.admins[0], a.link(), "approve", right)
		if d.Status == "approved" || s.row(a.ID).Tries != 2 || s.charged(s.person) != 2 {
			t.Errorf("a third PIN: %s, %+v", d, s.row(a.ID))
		}
	})
	for _, grants := range []string{skill, sessionSkill} {
		t.Run("between decide and use "+grants, func(t *testing.T) {
			s := all.with(t)
			killed := s.start("pin-internal")
			a := s.asked(s.person, grants, "1")
			waiting := make(chan reply)
			go func() { waiting <- s.wait(killed, a.ID, 30) }()
			decide(s.admins[0], a.link(), "approve", right)
			if w := <-waiting; w.Status != "approved" {
				t.Fatal(w)
			}
			must(t, killed.process.Signal(syscall.SIGKILL))
			<-killed.process.Done()
			if first, again := s.use(s.replicas[0], a.ID, useID(1), nil), s.use(s.replicas[1], a.ID, useID(1), nil); !first.opens() || first.body != again.body {
				t.Errorf("%s, again %s", first, again)
			}
		})
		t.Run("between burn and answer "+grants, func(t *testing.T) {
			s := all.with(t)
			killed := s.start("pin-internal-attack", "ATTACK_AT=burnt=KILL")
			a := s.approved(s.person, grants, "1")
			if r := s.use(killed, a.ID, useID(1), nil); r.status != 0 {
				t.Fatalf("the replica was not killed: %s", r)
			}
			<-killed.process.Done()
			if r := s.row(a.ID); r.Status != "used" {
				t.Fatalf("%+v", r)
			}
			other, first, again := s.use(s.replicas[0], a.ID, useID(2), nil), s.use(s.replicas[0], a.ID, useID(1), nil), s.use(s.replicas[1], a.ID, useID(1), nil)
			if other.Code != "approval_used" || !first.opens() || again.body != first.body {
				t.Errorf("another use_id %s, the same %s, again %s", other, first, again)
			}
			if r := s.row(a.ID); r.Uses != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Replicas whose clocks are wrong by a day ask, decide and use. Only Postgres's clock counts.
func TestApprovalsWithWrongClocks(t *testing.T) {
	s := newApprovalStack(t, 1, 0)
	for name, hours := range map[string]int{"ahead": 24, "behind": -24} {
		buildWithWrongClock(t, "pin-internal-"+name, "pin-internal", hours)
		buildWithWrongClock(t, "pin-admin-"+name, "pin-admin", hours)
		s.replicas = append(s.replicas, s.start("pin-internal-"+name))
		s.admins = append(s.admins, s.startPINAdmin("pin-admin-"+name))
	}
	for _, grants := range []string{skill, sessionSkill} {
		for i, at := range s.replicas {
			a := s.ask(at, s.person, grants, transfer(fmt.Sprint(i)))
			if left := time.Until(a.ExpiresAt); a.status != 201 || left > 10*time.Minute || left < 9*time.Minute {
				t.Fatalf("replica %d: %s", i, a)
			}
			if d := decide(s.admins[i%2], a.link(), "approve", right); d.Status != "approved" {
				t.Fatalf("replica %d: %s", i, d)
			}
			if w := s.wait(s.replicas[(i+1)%3], a.ID, 1); w.Status != "approved" || time.Until(w.ExpiresAt) > 2*time.Minute {
				t.Errorf("replica %d: %s", i, w)
			}
			first := s.use(at, a.ID, useID(i), nil)
			for j, other := range s.replicas {
				if r := s.use(other, a.ID, useID(i), nil); !r.opens() || r.body != first.body {
					t.Errorf("used at replica %d: %s, then at replica %d: %s", i, first, j, r)
				}
				if first.Token != "" {
					if x := s.send("POST", other, "/pin/sessions/introspect", map[string]any{"session_token": first.Token}); !x.active {
						t.Errorf("the session is not valid at replica %d: %+v", j, x)
					}
				}
			}
		}
		// The time of an approval ends by Postgres's clock.
		a := s.approved(s.person, grants, "over")
		s.people.Exec(`update approvals set expires_at = now() where id = $1`, a.ID)
		for j, other := range s.replicas {
			if r := s.use(other, a.ID, useID(9), nil); r.Code != "approval_expired" {
				t.Errorf("after its time, at replica %d: %s", j, r)
			}
		}
	}
}
