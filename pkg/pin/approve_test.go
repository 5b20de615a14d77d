package pin_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// page is a world with three replicas of pin-admin, where people approve.
type page struct {
	*world
	replicas   []*pin.Verifier
	registries []*prometheus.Registry
}

func newPage(t testing.TB) *page {
	t.Helper()
	p := &page{world: newPatientWorld(t, storetest.Redis(t))}
	ring, err := keyring.Parse(keyOne)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		registry := prometheus.NewRegistry()
		p.registries = append(p.registries, registry)
		p.replicas = append(p.replicas, pin.NewVerifier(pin.VerifierConfig{
			DB: p.database.Open(t, schema.RolePinAdmin), Redis: p.patient, Sessions: session.NewStore(session.DefaultConfig, p.patient, ring, registry),
			Keys: ring, Pool: slowhash.NewPool(2, 400), Budget: p.budget, Registry: registry,
		}))
	}
	p.set(p.customerHolder(), rightPIN, pin.ByAdmin)
	return p
}

// asked adds a pending approval for the customer.
func (p *page) asked() uuid.UUID {
	p.t.Helper()
	id, hash := uuid.New(), make([]byte, 32)
	rand.Read(hash)
	p.people.Exec(`insert into approvals (id, instance_id, customer_id, proxy_key_id, kind, skill, arguments, action_hash, nonce, key_id, link_hash, expires_at)
		values ($1, $2, $3, $1, 'action', 'pay.transfer', '{}', $4, $4, 'one', $4, now() + interval '10 minutes')`, id, p.instance, p.customer, hash)
	return id
}

func (p *page) approving(id uuid.UUID) pin.Approving {
	return pin.Approving{ID: id, Subject: pin.Subject{InstanceID: p.instance, CustomerID: some(p.customer)}, UseWithin: 2 * time.Minute}
}

// try gives a PIN for an approval at one of the replicas.
func (p *page) try(replica int, id uuid.UUID, candidate pin.PIN) (pin.Result, error) {
	ctx := caller.NewContext(context.Background(), caller.Caller{Kind: caller.Link, ID: id, RequestID: "r", Address: "192.0.2.1"})
	return p.replicas[replica%len(p.replicas)].Approve(ctx, p.approving(id), candidate)
}

// approvalState is what a test reads of an approval and its holder.
type approvalState struct {
	Status    string  `db:"status"`
	Reason    *string `db:"reason"`
	Tries     int     `db:"tries"`
	Wrong     int     `db:"wrong"`
	Decided   bool    `db:"decided"`
	SameAsPIN bool    `db:"same_as_pin"`
	UseWithin float64 `db:"use_within"`
}

func (p *page) state(id uuid.UUID) (s approvalState) {
	p.t.Helper()
	p.people.Get(&s, `select a.status, a.reason, a.tries, a.wrong, a.decided_at is not null as decided,
		a.session_generation is not null and a.session_generation is not distinct from h.session_generation as same_as_pin,
		coalesce(extract(epoch from a.expires_at - a.decided_at), 0) as use_within
		from approvals a left join pin_holders h on h.holder_id = a.holder_id where a.id = $1`, id)
	return s
}

func (p *page) charged() (n int) {
	p.t.Helper()
	p.people.Get(&n, `select coalesce(max(charged), 0) from pin_holders where holder_id = $1`, p.customer)
	return n
}

// compared returns the number of comparisons at the replicas.
func (p *page) compared() (n int) {
	p.t.Helper()
	for _, registry := range p.registries {
		families, err := registry.Gather()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "pin_comparisons_total" {
				n += int(f.GetMetric()[0].GetCounter().GetValue())
			}
		}
	}
	return n
}

func TestApprovalTakesTwoTries(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name   string
		tries  []pin.PIN
		last   pin.Outcome
		err    error
		status string
		left   int
	}{
		{"a right PIN", []pin.PIN{rightPIN}, pin.Right, nil, "approved", 5},
		{"a wrong PIN", []pin.PIN{wrongPIN}, pin.Wrong, nil, "pending", 4},
		{"a wrong PIN, then the right one", []pin.PIN{wrongPIN, rightPIN}, pin.Right, nil, "approved", 5},
		{"two wrong PINs", []pin.PIN{wrongPIN, wrongPIN}, pin.Wrong, nil, "denied", 3},
		{"the right PIN after two wrong ones", []pin.PIN{wrongPIN, wrongPIN, rightPIN}, "", pin.ErrNoTry, "denied", 3},
		{"a PIN after the approval", []pin.PIN{rightPIN, rightPIN}, "", pin.ErrNoTry, "approved", 5},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t)
			id := p.asked()
			var got pin.Result
			var err error
			for i, candidate := range rule.tries {
				got, err = p.try(i, id, candidate)
			}
			if got.Outcome != rule.last || !errors.Is(err, rule.err) {
				t.Errorf("%s, %v", got.Outcome, err)
			}
			if got.Session != nil {
				t.Error("a session was issued")
			}
			s := p.state(id)
			if s.Status != rule.status || s.Tries != min(2, len(rule.tries)) && rule.err == nil || s.Tries != p.charged() {
				t.Errorf("%+v, %d charged", s, p.charged())
			}
			if err == nil && (*got.Remaining != rule.left || got.Tried.Status != s.Status || got.Tried.Tries != s.Tries || got.Tried.Approved != (rule.last == pin.Right)) {
				t.Errorf("%+v with %d left, the row is %+v", got.Tried, *got.Remaining, s)
			}
			if approved := rule.status == "approved"; s.SameAsPIN != approved || s.Decided != (rule.status != "pending") || approved && s.UseWithin != 120 {
				t.Errorf("%+v", s)
			}
			if denied := rule.status == "denied"; (s.Reason != nil) != denied || denied && *s.Reason != "wrong_pin" {
				t.Errorf("reason %v", s.Reason)
			}
		})
	}
}

// TestApprovalAuditTrail: each transition has a row that names the approval.
func TestApprovalAuditTrail(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	denied, approved := p.asked(), p.asked()
	p.people.Exec(`delete from audit`)
	_, _ = p.try(0, denied, wrongPIN)
	_, _ = p.try(0, denied, wrongPIN)
	_, _ = p.try(0, approved, rightPIN)
	var got string
	p.people.Get(&got, `select string_agg(action || case when details->>'reason' is null then '' else '=' || (details->>'reason') end, ' ' order by id) from audit
		where actor_kind = 'link' and actor_id = target_id and details->>'skill' = 'pay.transfer' and details->>'grants' = 'action'
		  and customer_id is not null and instance_id is not null and address = '192.0.2.1'`)
	if want := "approval.wrong_pin approval.wrong_pin approval.denied=wrong_pin approval.approved"; got != want {
		t.Errorf("the trail has %s, want %s", got, want)
	}
}

// TestLastAttemptForAnApproval: the charge of the last attempt locks the PIN and renews its session generation. A right PIN lifts
// the lock. The approval has the generation after that.
func TestLastAttemptForAnApproval(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	p.people.Exec(`update pin_holders set charged = 4 where holder_id = $1`, p.customer)
	id := p.asked()
	got, err := p.try(0, id, rightPIN)
	if err != nil || got.Outcome != pin.Right || !got.Tried.Approved {
		t.Fatalf("%+v, %v", got, err)
	}
	if s := p.state(id); !s.SameAsPIN {
		t.Error("the approval has another session generation than the PIN")
	}
}

// TestApprovalIsNotChargedWhenRefused: a refused try is neither charged nor taken.
func TestApprovalIsNotChargedWhenRefused(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		change string
		want   pin.Outcome
		err    error
	}{
		"locked":               {`update pin_holders set locked_until = now() + interval '1 hour'`, pin.Locked, nil},
		"deactivated":          {`update pin_holders set charged = 1, deactivated_by = 1`, pin.Inactive, nil},
		"not set":              {`update pin_holders set verifier = null, generation = null, pin_set_at = null`, pin.NotSet, nil},
		"expired":              {`update approvals set expires_at = now()`, "", pin.ErrNoTry},
		"cancelled":            {`update approvals set status = 'cancelled'`, "", pin.ErrNoTry},
		"denied":               {`update approvals set status = 'denied', reason = 'person'`, "", pin.ErrNoTry},
		"both tries are taken": {`update approvals set tries = 2, tried_at = now()`, "", pin.ErrNoTry},
		"the approval is gone": {`delete from approvals`, "", pin.ErrNotWithin},
		"the customer left":    {`delete from identities`, "", pin.ErrNotWithin},
		"the instance is gone": {`delete from instances`, "", pin.ErrNotWithin},
		"unknown pepper key":   {`update pin_holders set verifier = replace(verifier, 'keyid=one', 'keyid=lost')`, "", pin.ErrUnknownKey},
		"a known browser":      {`update instances set approval_known_browser = true`, "", pin.ErrBrowserUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t)
			id := p.asked()
			p.people.Exec(rule.change)
			before := p.charged()
			got, err := p.try(0, id, rightPIN)
			if got.Outcome != rule.want || !errors.Is(err, rule.err) {
				t.Errorf("%s, %v", got.Outcome, err)
			}
			var tries int
			p.people.Get(&tries, `select coalesce(sum(tries), 0) from approvals where id = $1 and tries < 2`, id)
			if p.charged() != before || tries != 0 || p.compared() != 0 {
				t.Errorf("%d charged, %d taken", p.charged()-before, tries)
			}
		})
	}
}

// TestOverloadTakesNoTry: an attempt for which the hashing pool has no place is neither charged nor taken.
func TestOverloadTakesNoTry(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	ring, _ := keyring.Parse(keyOne)
	pool := slowhash.NewPool(1, 1)
	place, err := pool.Reserve(p.instance)
	if err != nil {
		t.Fatal(err)
	}
	defer place.Release()
	registry := prometheus.NewRegistry()
	full := pin.NewVerifier(pin.VerifierConfig{DB: p.database.Open(t, schema.RolePinAdmin), Redis: p.patient,
		Sessions: session.NewStore(session.DefaultConfig, p.patient, ring, registry), Keys: ring, Pool: pool, Budget: p.budget, Registry: registry})
	id := p.asked()
	if _, err := full.Approve(t.Context(), p.approving(id), rightPIN); !errors.Is(err, slowhash.ErrBusy) {
		t.Errorf("%v", err)
	}
	if s := p.state(id); s.Tries != 0 || p.charged() != 0 {
		t.Errorf("%+v, %d charged", s, p.charged())
	}
}

// TestTriesInParallel: however many PINs arrive for one approval at three replicas, two are charged and compared.
func TestTriesInParallel(t *testing.T) {
	t.Parallel()
	for name, candidate := range map[string]func(i int) pin.PIN{
		"wrong":           func(int) pin.PIN { return wrongPIN },
		"right":           func(int) pin.PIN { return rightPIN },
		"right and wrong": func(i int) pin.PIN { return []pin.PIN{rightPIN, wrongPIN}[i/3%2] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t)
			id := p.asked()
			var running sync.WaitGroup
			var mu sync.Mutex
			approved, wrong := 0, 0
			for i := range 100 {
				running.Go(func() {
					got, err := p.try(i, id, candidate(i))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && got.Outcome == pin.Right && got.Tried.Approved:
						approved++
					case err == nil && got.Outcome == pin.Wrong:
						wrong++
					case err == nil && got.Outcome == pin.Right: // the other try has approved already
					case errors.Is(err, pin.ErrNoTry), errors.Is(err, budget.ErrNotCharged):
					default:
						t.Errorf("%+v, %v", got, err)
					}
				})
			}
			running.Wait()
			s := p.state(id)
			var attempts int
			p.people.Get(&attempts, `select count(*) from attempts`)
			if s.Tries != attempts || p.charged() != attempts || p.compared() != attempts || attempts > 2 || wrong > 2 || approved > 1 {
				t.Errorf("%d tries, %d attempts, %d charged, %d compared, %d wrong, %d approved", s.Tries, attempts, p.charged(), p.compared(), wrong, approved)
			}
			if (s.Status == "approved") != (approved == 1) || (s.Status == "denied") != (wrong == 2) {
				t.Errorf("%+v, but %d approved and %d wrong", s, approved, wrong)
			}
			if name == "wrong" && (s.Status != "denied" || attempts != 2) || name == "right" && s.Status != "approved" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestApprovalsShareTheBudget: guesses for many approvals and guesses by an agent take from one budget, and each charge for an
// approval takes exactly one try.
func TestApprovalsShareTheBudget(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	var ids []uuid.UUID
	for range 10 {
		ids = append(ids, p.asked())
	}
	var running sync.WaitGroup
	for i := range 100 {
		running.Go(func() {
			if i%10 == 9 {
				_, _ = p.verifier.Verify(t.Context(), p.key, p.subject(), wrongPIN)
				return
			}
			_, _ = p.try(i, ids[i%len(ids)], wrongPIN)
		})
	}
	running.Wait()
	var tries, byAgent int
	p.people.Get(&tries, `select sum(tries) from approvals`)
	byAgent = p.comparisons()
	if total := p.compared() + byAgent; total != p.budget.Attempts || p.charged() != total || tries != p.compared() {
		t.Errorf("%d compared, %d charged, %d tries, %d by agents; want %d in total", p.compared(), p.charged(), tries, byAgent, p.budget.Attempts)
	}
	if got := p.verify(rightPIN); got.Outcome != pin.Locked {
		t.Errorf("after the budget: %s", got.Outcome)
	}
}

// TestTryWaitsForOtherTransactions: a try that waited for a lock sees what the other transaction has committed.
func TestTryWaitsForOtherTransactions(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		other   string
		charged int
		tries   int
		status  string
	}{
		"the other tries were taken":    {`update approvals set tries = 2, tried_at = now()`, 0, 2, "pending"},
		"one other try was taken":       {`update approvals set tries = 1, tried_at = now()`, 1, 2, "approved"},
		"the approval was denied":       {`update approvals set status = 'denied', reason = 'person'`, 0, 0, "denied"},
		"the approval's time was ended": {`update approvals set expires_at = now()`, 0, 0, "pending"},
		"the approval was cancelled":    {`update approvals set status = 'cancelled'`, 0, 0, "cancelled"},
		"the PIN was locked":            {`update pin_holders set charged = 5, window_start = 5, locked_until = now() + interval '1 hour', locks = 1, locked_by = 5`, 5, 0, "pending"},
		"another attempt was charged":   {`update pin_holders set charged = 1`, 2, 1, "approved"},
		"the PIN was removed":           {`update pin_holders set verifier = null, generation = null, pin_set_at = null`, 0, 0, "pending"},
		"both rows changed harmlessly":  {`with a as (update approvals set tries = 1, tried_at = now()) update pin_holders set charged = 1`, 2, 2, "approved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t)
			id := p.asked()
			tx := p.people.Begin()
			tx.MustExec(rule.other)
			done := make(chan error)
			go func() {
				_, err := p.try(0, id, rightPIN)
				done <- err
			}()
			p.people.AwaitLocks(1)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			<-done
			if s := p.state(id); s.Status != rule.status || s.Tries != rule.tries || p.charged() != rule.charged {
				t.Errorf("%+v, %d charged", s, p.charged())
			}
		})
	}
}

// TestKnownBrowser: a browser is known for the PIN that was given in it, until this PIN is set again.
func TestKnownBrowser(t *testing.T) {
	t.Parallel()
	browser := make([]byte, 32)
	for name, rule := range map[string]struct {
		before   func(*page)
		signedIn bool
		want     error
	}{
		"known":                     {func(p *page) {}, false, nil},
		"the PIN was set again":     {func(p *page) { p.set(p.customerHolder(), rightPIN, pin.ByAdmin) }, false, pin.ErrBrowserUnknown},
		"another browser":           {func(p *page) { p.people.Exec(`update known_browsers set browser_hash = sha256('other')`) }, false, pin.ErrBrowserUnknown},
		"another PIN applies":       {func(p *page) { p.people.Exec(`delete from known_browsers`) }, false, pin.ErrBrowserUnknown},
		"the customer is signed in": {func(p *page) { p.people.Exec(`delete from known_browsers`) }, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t)
			p.people.Exec(`update instances set approval_known_browser = true`)
			p.people.Exec(`insert into known_browsers (browser_hash, holder_id, generation) select $1, holder_id, generation from pin_holders`, browser)
			rule.before(p)
			approving := p.approving(p.asked())
			approving.Browser, approving.SignedIn = browser, rule.signedIn
			got, err := p.replicas[0].Approve(t.Context(), approving, rightPIN)
			if !errors.Is(err, rule.want) || rule.want == nil && !got.Tried.Approved {
				t.Errorf("%+v, %v", got, err)
			}
			if rule.want != nil && p.charged() != 0 {
				t.Error("the attempt was charged")
			}
		})
	}
}

// TestIdentityPINApproves: if the identity that was asked has its own PIN, this PIN approves, and the customer's PIN does not.
func TestIdentityPINApproves(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	p.set(p.identityHolder(), thirdPIN, pin.ByAdmin)
	id := p.asked()
	p.people.Exec(`update approvals set identity_id = $1`, p.identity)
	if got, err := p.try(0, id, rightPIN); err != nil || got.Outcome != pin.Wrong {
		t.Errorf("the customer's PIN: %+v, %v", got, err)
	}
	if got, err := p.try(0, id, thirdPIN); err != nil || !got.Tried.Approved || got.Holder != p.identity {
		t.Errorf("the identity's PIN: %+v, %v", got, err)
	}
}
