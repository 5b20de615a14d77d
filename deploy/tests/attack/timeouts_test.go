//go:build attack

package attack

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

const (
	notCharged = "not_charged"
	unknown    = "outcome_unknown"
	paused     = "charging_paused"
	// inTime is longer than each wait for Postgres: the row's turn, a probe and a statement.
	inTime = 11 * time.Second
)

// connect connects to the test's database as a superuser.
func (s *stack) connect() *sqlx.DB {
	s.t.Helper()
	db, err := sqlx.Connect("postgres", s.database.URL)
	must(s.t, err)
	s.t.Cleanup(func() { db.Close() })
	return db
}

// holdRow locks the row of the person's PIN until release is called.
func (s *stack) holdRow(db *sqlx.DB) (release func()) {
	s.t.Helper()
	tx := db.MustBegin()
	tx.MustExec(`select from pin_holders where holder_id = $1 for update`, s.identity)
	return func() { must(s.t, tx.Rollback()) }
}

// checkRefusals fails the test unless each answer is a 503 with one of the codes, in time.
func (s *stack) checkRefusals(r *result, codes ...string) {
	s.t.Helper()
	for _, a := range r.answers {
		known := false
		for _, code := range codes {
			known = known || a.code == code
		}
		if a.status != 503 || !known || a.retryAfter == "" || a.code == unknown && a.retryAfter != "10" || a.took > inTime {
			s.t.Errorf("%+v, want 503 with one of the codes %v", a, codes)
		}
	}
}

// Another session locks the row of one PIN for 20 seconds. Right PINs are answered 503, and are not charged, now or later.
func TestLockedRow(t *testing.T) {
	s := newStack(t, 2)
	release := s.holdRow(s.connect())
	r := &result{}
	for began := time.Now(); time.Since(began) < 20*time.Second; {
		r.add(s.guessInParallel(5, func(int) map[string]any { return s.withPIN(right) }))
	}
	release()
	s.report(r, s.comparisons())
	s.checkRefusals(r, notCharged)
	if s.charged(s.person)+s.comparisons() != 0 {
		t.Errorf("%d attempts are charged, %d compared", s.charged(s.person), s.comparisons())
	}
	if a := s.guess(s.replicas[0], s.withPIN(right)); !a.verified {
		t.Errorf("the right PIN afterwards: %+v", a)
	}
}

// 200 clients guess at a locked row for 10 seconds. A person at another instance is answered, and Postgres keeps free connections.
func TestLockedRowWith200Clients(t *testing.T) {
	s := newStack(t, 2)
	other := *s
	other.instance = s.people.Instance()
	other.key = s.people.ProxyKey(other.instance)
	other.person = other.newPerson()
	db := s.connect()
	release := s.holdRow(db)
	quit := make(chan struct{})
	var clients sync.WaitGroup
	var mu sync.Mutex
	r, confirmed := &result{}, &result{}
	loop := func(s *stack, into *result, pause time.Duration) {
		for n := 0; ; n++ {
			select {
			case <-quit:
				return
			case <-time.After(pause):
			}
			a := s.guess(s.replicas[n%2], s.withPIN(right))
			mu.Lock()
			into.answers = append(into.answers, a)
			mu.Unlock()
		}
	}
	for range 200 {
		clients.Go(func() { loop(s, r, 100*time.Millisecond) })
	}
	clients.Go(func() { loop(&other, confirmed, 100*time.Millisecond) })
	most, waiting := 0, 0
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(50 * time.Millisecond) {
		var now struct{ Backends, Waiting int }
		must(t, db.Get(&now, `select count(*) as backends, count(*) filter (where wait_event_type = 'Lock') as waiting
			from pg_stat_activity where usename = $1`, schema.RolePinInternal))
		most, waiting = max(most, now.Backends), max(waiting, now.Waiting)
	}
	close(quit)
	clients.Wait()
	release()
	s.report(r, s.comparisons())
	t.Logf("at the other instance, %d of %d confirmed, p99 %s; at most %d backends, %d of them waiting", confirmed.verified(), len(confirmed.answers), confirmed.p99(), most, waiting)
	if charged := s.charged(s.person); charged != 0 {
		t.Errorf("%d attempts are charged", charged)
	}
	if r.count(func(a answer) bool { return a.status != 503 || a.took > inTime }) > 0 {
		t.Error("a guess at the locked row was not answered 503 in time")
	}
	if len(confirmed.answers) < 10 || confirmed.verified()*100 < len(confirmed.answers)*95 || confirmed.p99() > 3*time.Second {
		t.Errorf("%d of %d confirmed at the other instance, p99 %s", confirmed.verified(), len(confirmed.answers), confirmed.p99())
	}
	if most > 40 || waiting > 2 {
		t.Errorf("%d backends, %d of them waiting; want at most 20 for each replica, and one waiting", most, waiting)
	}
}

// A pin-admin is stopped in the transaction that sets a PIN. Postgres ends the transaction, so the PIN can be verified again.
func TestAdminIsStoppedInsideASet(t *testing.T) {
	s := newStack(t, 1)
	database := loginURL(s.database.URL, schema.RolePinAdmin)
	slow := proxy(t, database)
	admin := s.startAdmin(viaProxy(slow, database))
	addFault(t, slow, `{"type": "latency", "attributes": {"latency": 500}}`)
	answered := make(chan int, 1)
	go func() {
		answered <- s.setByAPI(admin, "/v1/customers/"+s.customer.String()+"/identities/"+s.identity.String()+"/pin", other)
	}()
	// The set's transaction has locked the row, and waits for its next statement.
	const inSet = `select count(*) = 0 from (select from pin_holders where holder_id = $1 for update skip locked) row`
	db := s.connect()
	for began, inside := time.Now(), false; !inside; {
		if time.Since(began) > 20*time.Second {
			t.Fatal("the set did not begin")
		}
		must(t, db.Get(&inside, inSet, s.identity))
	}
	must(t, admin.process.Signal(syscall.SIGSTOP))
	defer admin.process.Signal(syscall.SIGCONT)
	r := &result{}
	for began := time.Now(); ; {
		a := s.guess(s.replicas[0], s.withPIN(right))
		if a.verified {
			t.Logf("verified after %s", time.Since(began).Round(time.Millisecond))
			break
		}
		r.answers = append(r.answers, a)
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the row stays locked: %+v", a)
		}
	}
	s.checkRefusals(r, notCharged)
	if charged := s.charged(s.person); len(r.answers) == 0 || charged != 1 {
		t.Fatalf("%d guesses were refused, %d attempts are charged, want 1", len(r.answers), charged)
	}
	must(t, admin.process.Signal(syscall.SIGCONT))
	if status := <-answered; status != 503 {
		t.Errorf("the set was answered %d, want 503", status)
	}
	s.report(r, s.comparisons())
}

// A synchronous standby stalls, so no commit is confirmed. A charge is then unknown. Its replica charges nothing more until the
// standby continues, so a person loses at most one attempt.
func TestSynchronousStandbyStalls(t *testing.T) {
	ctx := context.Background()
	primary, err := localstores.StartPostgres(ctx, localstores.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, primary.Stop()) })
	standby, err := localstores.StartStandby(ctx, primary)
	must(t, err)
	t.Cleanup(func() { must(t, standby.Stop()) })
	admin, err := sqlx.Connect("postgres", primary.URL)
	must(t, err)
	t.Cleanup(func() { admin.Close() })
	must(t, ensureRoles(ctx, primary.URL))
	must(t, schema.Migrate(ctx, admin.DB))
	for _, q := range []string{`alter system set synchronous_standby_names = '*'`, `alter database postgres set synchronous_commit = on`, `select pg_reload_conf()`} {
		admin.MustExec(q)
	}
	s := newStackOn(t, &storetest.Database{URL: primary.URL}, 2)
	r := &result{answers: []answer{s.guess(s.replicas[0], s.withPIN(wrong))}}
	if a := r.answers[0]; a.status != 200 {
		t.Fatalf("before the stall: %+v", a)
	}

	onStandby, err := sqlx.Connect("postgres", standby.URL)
	must(t, err)
	t.Cleanup(func() { onStandby.Close() })
	var receiver int
	must(t, onStandby.Get(&receiver, `select pid from pg_stat_wal_receiver`))
	must(t, syscall.Kill(receiver, syscall.SIGSTOP))
	resume := func() { _ = syscall.Kill(receiver, syscall.SIGCONT) }
	defer resume()

	first := s.guess(s.replicas[0], s.withPIN(right))
	s.checkRefusals(&result{answers: []answer{first}}, unknown)
	refused := &result{}
	for i := range 6 {
		refused.answers = append(refused.answers, s.guess(s.replicas[i%2], s.withPIN(right)))
	}
	s.checkRefusals(refused, paused, notCharged) // the other replica waits for the row
	if a := refused.answers[0]; a.code != paused {
		t.Errorf("the next charge of this replica: %+v, want %s", a, paused)
	}
	resume()
	s.waitUntilAnswered(20 * time.Second)
	r.add(s.guessInParallel(100, func(int) map[string]any { return s.withPIN(wrong) }))
	s.report(r, s.comparisons())
	// One attempt was charged without a comparison.
	if s.charged(s.person) != budget || s.comparisons() != budget-1 {
		t.Errorf("%d attempts are charged, %d compared, want %d and %d", s.charged(s.person), s.comparisons(), budget, budget-1)
	}
	r.add(refused)
	if r.verified()+r.tokens() > 0 {
		t.Errorf("%d right, %d tokens", r.verified(), r.tokens())
	}
}
