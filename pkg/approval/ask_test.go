package approval_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

// asking is a customer with a PIN and an identity on an instance, and three replicas that ask for approvals. The skill pay is in
// mode approval.
type asking struct {
	t        testing.TB
	people   storetest.People
	database *storetest.Database
	db       *sqlx.DB
	replicas []*approval.Asker
	sweeper  approval.Sweeper

	instance, customer, identity uuid.UUID
	key                          token.Token
}

func newAsking(t testing.TB, change ...func(*approval.Config)) *asking {
	t.Helper()
	w := &asking{t: t, database: storetest.Postgres(t)}
	w.people, w.db = storetest.NewPeople(t, w.database), w.database.Open(t, schema.RolePinInternal)
	w.sweeper = approval.Sweeper{DB: w.database.Open(t, schema.RolePinAdmin), Log: (&webtest.Log{}).Logger()}
	ring, err := keyring.Parse(twoKeys)
	if err != nil {
		t.Fatal(err)
	}
	limits := approval.DefaultConfig
	for _, change := range change {
		change(&limits)
	}
	client := storetest.RedisClient(t, storetest.Redis(t))
	for range 3 {
		registry := prometheus.NewRegistry()
		db := w.database.Open(t, schema.RolePinInternal)
		verifier := pin.NewVerifier(pin.VerifierConfig{DB: db, Redis: client, Sessions: session.NewStore(session.DefaultConfig, client, ring, registry),
			Keys: ring, Pool: slowhash.NewPool(2, 10), Budget: pin.DefaultBudget, Registry: registry})
		w.replicas = append(w.replicas, approval.NewAsker(db, verifier, ring, limits))
	}
	w.customer, w.instance = w.people.Customer(), w.people.Instance()
	w.identity, w.key = w.people.Identity(w.customer, w.instance), w.people.ProxyKey(w.instance)
	w.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())`, w.customer)
	w.people.Exec(`insert into skills (instance_id, skill, mode) values ($1, 'pay', 'approval'), ($1, 'send', 'approval'), ($1, 'talk', 'session')`, w.instance)
	return w
}

func (w *asking) request(name string, n int) approval.Request {
	return approval.Request{
		Subject: pin.Subject{InstanceID: w.instance, CustomerID: some(w.customer), IdentityID: some(w.identity)},
		Skill:   name, Arguments: fmt.Sprintf(`{"n":%d}`, n), ExpiresIn: 10 * time.Minute,
	}
}

func some(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: true} }

func (w *asking) try(r approval.Request) (approval.Answer, error) {
	return w.replicas[0].Ask(context.Background(), w.key, r)
}

func (w *asking) ask(r approval.Request) approval.Row {
	w.t.Helper()
	answer, err := w.try(r)
	if err != nil || !answer.Created {
		w.t.Fatalf("asking again: %+v, %v", answer, err)
	}
	return answer.Row
}

// refused checks that a limit refuses a request, and that Retry-After is within a second of wait.
func (w *asking) refused(r approval.Request, want error, wait time.Duration) {
	w.t.Helper()
	_, err := w.try(r)
	var failure *fault.Error
	if !errors.Is(err, want) || !errors.As(err, &failure) {
		w.t.Fatalf("%s %s: %v, want %v", r.Skill, r.Arguments, err, want)
	}
	if off := (failure.After - wait).Abs(); off > 5*time.Second {
		w.t.Errorf("%v: retry after %s, want %s", want, failure.After, wait)
	}
}

// end writes the end of a pending approval.
func (w *asking) end(id uuid.UUID, status string, reason any, ago time.Duration) {
	w.t.Helper()
	w.people.Exec(`update approvals set status = $2, reason = $3, decided_at = now() - $4 * interval '1 second' where id = $1`, id, status, reason, ago.Seconds())
}

func (w *asking) count(where string) (n int) {
	w.t.Helper()
	w.people.Get(&n, `select count(*) from approvals where `+where)
	return n
}

func TestLimitOfPendingApprovals(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	for n := range 3 {
		w.ask(w.request("pay", n))
	}
	w.refused(w.request("pay", 3), approval.ErrTooManyPending, 10*time.Minute)
	if answer, err := w.try(w.request("pay", 1)); err != nil || answer.Created {
		t.Errorf("the same request as before: %+v, %v", answer, err)
	}
	for name, free := range map[string]func(id uuid.UUID){
		"cancelled": func(id uuid.UUID) {
			if err := approval.Cancel(t.Context(), w.db, w.instance, id); err != nil {
				t.Error(err)
			}
		},
		"denied after wrong PINs": func(id uuid.UUID) { w.end(id, "denied", "wrong_pin", 0) },
		"expired":                 func(id uuid.UUID) { w.people.Exec(`update approvals set expires_at = now() where id = $1`, id) },
		"its tries are lost": func(id uuid.UUID) {
			w.people.Exec(`update approvals set tries = 2, tried_at = now() - interval '16 seconds' where id = $1`, id)
		},
	} {
		var pending uuid.UUID
		w.people.Get(&pending, `select id from approvals where status = 'pending' and expires_at > now() and tries < 2 limit 1`)
		free(pending)
		w.ask(w.request("pay", 10+len(name)))
		if t.Failed() {
			t.Fatal(name)
		}
		w.refused(w.request("pay", 3), approval.ErrTooManyPending, 10*time.Minute)
	}
	other := w.people.Customer()
	w.people.Identity(other, w.instance)
	w.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())`, other)
	r := w.request("pay", 3)
	r.Subject.CustomerID, r.Subject.IdentityID = some(other), uuid.NullUUID{}
	w.ask(r)
}

// TestSameRequestAfterItsApprovalIsOver: the sweeper has not written yet that the first approval is over.
func TestSameRequestAfterItsApprovalIsOver(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]string{
		"expired":            `update approvals set expires_at = now() where id = $1`,
		"its tries are lost": `update approvals set tries = 2, tried_at = now() - interval '16 seconds' where id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAsking(t)
			first := w.ask(w.request("pay", 1))
			w.people.Exec(over, first.ID)
			if second := w.ask(w.request("pay", 1)); second.ID == first.ID {
				t.Error("the old approval was returned")
			}
			if n := w.count(`status = 'pending'`); n != 1 {
				t.Errorf("%d approvals are pending", n)
			}
			var recorded int
			w.people.Get(&recorded, `select count(*) from audit where action in ('approval.expired', 'approval.denied') and target_id = $1`, first.ID)
			if recorded != 1 {
				t.Errorf("the end of the first approval is recorded %d times", recorded)
			}
		})
	}
}

func TestLimitOfApprovalsInAnHour(t *testing.T) {
	t.Parallel()
	w := newAsking(t, func(c *approval.Config) { c.PerHour = 5 })
	for n := range 5 {
		row := w.ask(w.request("pay", n))
		if again, err := w.try(w.request("pay", n)); err != nil || again.Created { // it does not count again
			t.Errorf("%+v, %v", again, err)
		}
		w.end(row.ID, "cancelled", nil, 0)
	}
	w.refused(w.request("pay", 5), approval.ErrRateLimited, time.Hour)
	w.people.Exec(`update approvals set created_at = now() - interval '59 minutes' where arguments = '{"n":0}'`)
	w.refused(w.request("pay", 5), approval.ErrRateLimited, time.Minute)
	w.people.Exec(`update approvals set created_at = now() - interval '61 minutes' where arguments = '{"n":0}'`)
	w.ask(w.request("pay", 5))
	w.refused(w.request("pay", 6), approval.ErrRateLimited, time.Hour)
}

func TestDeniedActionIsRefused(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	row := w.ask(w.request("pay", 1))
	w.end(row.ID, "denied", "person", 0)
	w.refused(w.request("pay", 1), approval.ErrDeniedRecently, 15*time.Minute)
	withoutIdentity := w.request("pay", 1)
	withoutIdentity.Subject.IdentityID = uuid.NullUUID{}
	w.refused(withoutIdentity, approval.ErrDeniedRecently, 15*time.Minute)
	w.ask(w.request("pay", 2)) // another action
	w.end(row.ID, "denied", "person", 15*time.Minute)
	again := w.ask(w.request("pay", 1))
	// Two wrong PINs are no denial.
	w.end(again.ID, "denied", "wrong_pin", 0)
	w.ask(w.request("pay", 1))
}

func TestSkillIsRefusedAfterTwoDenials(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	deny := func(n int, ago time.Duration) {
		t.Helper()
		w.end(w.ask(w.request("pay", n)).ID, "denied", "person", ago)
	}
	deny(1, 50*time.Minute)
	wrong := w.ask(w.request("pay", 2))
	w.end(wrong.ID, "denied", "wrong_pin", 0)
	deny(3, 20*time.Minute)
	w.refused(w.request("PAY", 4), approval.ErrSkillDenied, 40*time.Minute)
	w.ask(w.request("send", 4)) // another skill
	// The denials are more than an hour apart.
	w.people.Exec(`update approvals set created_at = now() - interval '85 minutes', decided_at = now() - interval '81 minutes' where arguments = '{"n":1}'`)
	w.ask(w.request("pay", 4))
	// Both are within an hour, and the second is more than an hour ago.
	w.people.Exec(`update approvals set created_at = now() - interval '85 minutes', decided_at = now() - interval '61 minutes' where arguments = '{"n":3}'`)
	w.ask(w.request("pay", 5))
	// The third denial is within an hour of the second, not of the first. It begins another hour.
	w.people.Exec(`update approvals set decided_at = now() - interval '50 minutes' where arguments = '{"n":3}'`)
	w.people.Exec(`update approvals set status = 'denied', reason = 'person', decided_at = now() - interval '10 minutes' where arguments = '{"n":4}' and skill = 'pay'`)
	w.refused(w.request("pay", 6), approval.ErrSkillDenied, 50*time.Minute)
}

func TestLimitsCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	w := newAsking(t, func(c *approval.Config) { c.DeniedFor, c.SkillDeniedFor = 0, 0 })
	for range 5 {
		w.end(w.ask(w.request("pay", 1)).ID, "denied", "person", 0)
	}
}

// Each round asks for many different actions at the same time, at three replicas.
func TestLimitsAreExactUnderParallelRequests(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		limits func(*approval.Config)
		want   int
		err    error
	}{
		"pending":  {func(*approval.Config) {}, 3, approval.ErrTooManyPending},
		"an hour":  {func(c *approval.Config) { c.PerHour, c.Pending = 7, 100 }, 7, approval.ErrRateLimited},
		"both 100": {func(c *approval.Config) { c.PerHour, c.Pending = 100, 100 }, 60, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAsking(t, rule.limits)
			// An approval that is over takes no place. It is written as expired once, if the same request makes a new one.
			old := w.ask(w.request("pay", 0))
			w.people.Exec(`update approvals set created_at = now() - interval '70 minutes', expires_at = now() - interval '60 minutes' where id = $1`, old.ID)
			var mu sync.Mutex
			created := 0
			var running sync.WaitGroup
			for n := range 60 {
				running.Go(func() {
					answer, err := w.replicas[n%3].Ask(context.Background(), w.key, w.request("pay", n))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && answer.Created:
						created++
					case rule.err == nil || !errors.Is(err, rule.err):
						t.Errorf("%+v, %v", answer, err)
					}
				})
			}
			running.Wait()
			pending := w.count(`status = 'pending' and expires_at > now()`)
			if created != rule.want || pending != rule.want {
				t.Errorf("%d requests made %d approvals, want %d", created, pending, rule.want)
			}
			var recorded int
			w.people.Get(&recorded, `select count(*) from audit where action = 'approval.expired'`)
			if expired := w.count(`status = 'expired'`); recorded != expired || rule.want == 60 && expired != 1 {
				t.Errorf("%d approvals are expired, and the trail says so %d times", expired, recorded)
			}
		})
	}
}

func TestSameRequestsAtThreeReplicasMakeOneApproval(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	var mu sync.Mutex
	created, ids := 0, map[uuid.UUID]bool{}
	var running sync.WaitGroup
	for n := range 100 {
		running.Go(func() {
			answer, err := w.replicas[n%3].Ask(context.Background(), w.key, w.request("pay", 1))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if answer.Created {
				created++
			}
			ids[answer.Row.ID] = true
		})
	}
	running.Wait()
	if created != 1 || len(ids) != 1 || w.count(`true`) != 1 {
		t.Errorf("%d answers say created, %d ids, %d approvals", created, len(ids), w.count(`true`))
	}
}

// Pending requests are separate for each identity, for the customer without an identity, and for each kind.
func TestSameRequestNeedsTheSameIdentityAndKind(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	second := w.people.Identity(w.customer, w.instance)
	rows := map[uuid.UUID]bool{}
	for _, identity := range []uuid.NullUUID{some(w.identity), some(second), {}} {
		r := w.request("pay", 1)
		r.Subject.IdentityID = identity
		row := w.ask(r)
		rows[row.ID] = true
		if again, err := w.try(r); err != nil || again.Row.ID != row.ID {
			t.Errorf("%+v, %v", again, err)
		}
	}
	if len(rows) != 3 {
		t.Errorf("%d approvals, want 3", len(rows))
	}
	w.people.Exec(`update skills set mode = 'session' where skill = 'pay'`)
	w.people.Exec(`update approvals set expires_at = now() where identity_id = $1`, second)
	if row := w.ask(w.request("pay", 1)); rows[row.ID] || row.Kind != approval.Session {
		t.Errorf("for a session: %+v", row)
	}
}

func TestPINThatCannotApproveIsRefused(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	for _, rule := range []struct {
		change string
		want   *fault.Error
		after  time.Duration
	}{
		{`update pin_holders set verifier = null, generation = null, pin_set_at = null`, approval.ErrPINNotSet, 0},
		{`update pin_holders set verifier = '', generation = gen_random_uuid(), pin_set_at = now(), locked_until = now() + interval '7 minutes'`, approval.ErrPINLocked, 7 * time.Minute},
		{`update pin_holders set deactivated_by = 50`, approval.ErrPINInactive, 0},
	} {
		w.people.Exec(rule.change)
		w.refused(w.request("pay", 1), rule.want, rule.after)
		_, err := w.try(w.request("talk", 1))
		var failure *fault.Error
		if !errors.As(err, &failure) || failure.Code != rule.want.Code || failure.LockedUntil.IsZero() != (rule.after == 0) {
			t.Errorf("for a session: %+v", failure)
		}
	}
	if w.count(`true`) != 0 {
		t.Error("an approval was written")
	}
}
