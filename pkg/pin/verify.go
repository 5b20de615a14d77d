package pin

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/attackstep"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/token"
)

// ErrPageOnly means that the instance takes PINs only on a page of Countersign, not from an agent. Nothing was charged.
var ErrPageOnly = fault.New(fault.Forbidden, "pin_entry_page_only",
	"This instance takes PINs only on a page of Countersign. Ask for an approval, and send its link to the person (pin_entry)")

// ErrChanging means that the PIN was changed or unlocked during the verification. Nothing was charged.
var ErrChanging = fault.New(fault.Unavailable, "pin_changing", "The PIN is being changed, try again").RetryAfter(time.Second)

// settleTime is how long after its charge an attempt can be settled as right.
const settleTime = 10 * time.Second

// Outcome is the outcome of a verification.
type Outcome string

// The outcomes. For Right and Wrong, the candidate was compared. For the other outcomes, it was not.
const (
	Right    Outcome = "right"
	Wrong    Outcome = "wrong"
	Locked   Outcome = "locked"
	Inactive Outcome = "inactive"
	NotSet   Outcome = "not_set"
)

// Result is the answer to one verification.
type Result struct {
	Outcome Outcome
	// Remaining is the number of attempts before a lock. It is nil if no PIN applies.
	Remaining *int
	// LockedUntil is nil if there is no lock. RetryAfter is the remaining time of the lock by Postgres's clock.
	LockedUntil *time.Time
	RetryAfter  time.Duration
	// Session is nil if the outcome is not Right, if Redis could not store a session, for a customer's own PIN, and for an approval.
	Session *token.Token
	// TTL is how long the session lasts.
	TTL time.Duration
	// Holder and Generation name the PIN that was right.
	Holder, Generation uuid.UUID
	// Tried is the state of the approval after the candidate was compared. It is nil for a candidate that an agent sent.
	Tried *Tried
}

// Verifier verifies PINs.
type Verifier struct {
	db       *sqlx.DB
	charger  *budget.Charger
	refusals refusals
	hasher   hasher
	sessions *session.Store
	budget   budget.Limits

	resolveQ, chargeQ, chargeTryQ, settleRightQ *stores.Prepared

	comparisons prometheus.Counter
	results     *prometheus.CounterVec
	seconds     prometheus.Histogram
}

// VerifierConfig is what a Verifier needs.
type VerifierConfig struct {
	DB       *sqlx.DB
	Redis    redis.UniversalClient
	Sessions *session.Store
	Keys     *keyring.Ring
	Pool     *slowhash.Pool
	Budget   budget.Limits
	Registry prometheus.Registerer
}

// NewVerifier returns a Verifier and registers its metrics.
func NewVerifier(c VerifierConfig) *Verifier {
	v := &Verifier{
		db: c.DB, charger: budget.NewCharger(c.DB), refusals: newRefusals(c.Redis), hasher: hasher{c.Keys, c.Pool}, sessions: c.Sessions, budget: c.Budget,
		resolveQ: &stores.Prepared{Query: resolveSQL}, settleRightQ: &stores.Prepared{Query: settleRightSQL},
		chargeQ: &stores.Prepared{Query: chargeSQL}, chargeTryQ: &stores.Prepared{Query: chargeTrySQL},
		comparisons: prometheus.NewCounter(prometheus.CounterOpts{Name: "pin_comparisons_total", Help: "Candidates compared with a verifier."}),
		results:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pin_verifications_total", Help: "Verifications by result."}, []string{"result"}),
		seconds:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pin_verify_seconds", Help: "Time for one verification.", Buckets: prometheus.ExponentialBuckets(.001, 2, 14)}),
	}
	for _, result := range []string{"right", "wrong", "locked", "not_set", "shed", "error"} {
		v.results.WithLabelValues(result)
	}
	c.Registry.MustRegister(v.comparisons, v.results, v.seconds)
	return v
}

// Verify reports whether candidate is the PIN that applies to a subject, for an agent with a proxy key.
//
// Errors: the errors of Resolve; ErrPageOnly; slowhash.ErrBusy, ErrUnknownKey, ErrChanging, budget.ErrNotCharged and
// budget.ErrPaused (nothing was charged); budget.ErrUnknown (the attempt may have been charged, and there is no verdict); or an
// error that prevented an answer.
func (v *Verifier) Verify(ctx context.Context, key token.Token, subject Subject, candidate PIN) (Result, error) {
	resolve := func(ctx context.Context) (Resolved, error) {
		r, err := v.Resolve(ctx, key, subject, nil, nil)
		if err == nil && r.PINEntry != policy.EntryAny {
			err = ErrPageOnly
		}
		return r, err
	}
	return v.verify(ctx, subject.InstanceID, questionOf(key, subject), resolve, candidate)
}

// verify contains the whole decision, in order: resolve, reserve a place, charge, compare, settle. It charges the attempt
// before it compares anything. Only a right PIN forgives the charge, so a crash, a cancelled request or a parallel guess
// still costs an attempt.
func (v *Verifier) verify(ctx context.Context, tenant uuid.UUID, q question, resolve resolveFunc, candidate PIN) (result Result, err error) {
	defer v.measure(time.Now(), &result, &err)

	// Under overload, refuse before the first query. The tenant is not authenticated yet, but here it can only be refused.
	if v.hasher.pool.Full(tenant) {
		return Result{}, slowhash.ErrBusy
	}
	if refused := v.refusals.recall(ctx, q); refused != nil {
		return *refused, nil
	}
	r, refused, err := v.resolveOrRefuse(ctx, q, resolve)
	if err != nil {
		return Result{}, err
	}
	if refused != nil {
		return *refused, nil
	}
	if err := v.hasher.canCheck(*r.Verifier); err != nil {
		return Result{}, err
	}
	place, err := v.hasher.pool.Reserve(tenant)
	if err != nil {
		return Result{}, err
	}
	defer place.Release()

	// From here on, a client that disconnects cancels nothing: its attempt is charged, so it must also be settled.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	a, err := v.charge(ctx, r)
	if errors.Is(err, errNotCharged) {
		return v.refusedByCharge(ctx, q, resolve)
	}
	if err != nil {
		return Result{}, err
	}
	attackstep.Reached("charged")

	right, err := v.hasher.matches(ctx, place, a.HolderID, candidate, a.Verifier)
	if err != nil {
		return Result{}, budget.WithoutOutcome(err)
	}
	v.comparisons.Inc()
	attackstep.Reached("compared")

	if right {
		after, err := v.settleRight(ctx, a)
		if err == nil {
			attackstep.Reached("settled")
			if a.LockedUntil != nil || a.Deactivated {
				v.refusals.locks.lift(ctx, a.HolderID) // settling lifted the lock that this charge wrote
			}
			if v.hasher.outdated(a.Verifier) {
				v.renew(ctx, place, a, candidate)
			}
			return v.confirm(ctx, r, a, after), nil
		}
		if !errors.Is(err, errLost) {
			return Result{}, budget.WithoutOutcome(err)
		}
	}
	after, err := v.settleWrong(ctx, a)
	if err != nil {
		return Result{}, budget.WithoutOutcome(err)
	}
	return wrong(after, v.budget), nil
}

type resolveFunc func(context.Context) (Resolved, error)

// resolveOrRefuse resolves, and returns the answer if the attempt must not be charged. It remembers the refusal of a locked or
// deactivated PIN.
func (v *Verifier) resolveOrRefuse(ctx context.Context, q question, resolve resolveFunc) (Resolved, *Result, error) {
	askedAt := v.refusals.now()
	r, err := resolve(ctx)
	if err != nil {
		return Resolved{}, nil, err
	}
	refused := refusal(r)
	if refused != nil {
		v.refusals.remember(ctx, q, r, *refused, askedAt)
	}
	return r, refused, nil
}

// refusal returns the answer if no PIN applies, or if the PIN is locked or deactivated. It returns nil if an attempt may be
// charged.
func refusal(r Resolved) *Result {
	switch {
	case !r.HasPIN():
		return &Result{Outcome: NotSet}
	case r.Deactivated:
		return &Result{Outcome: Inactive, Remaining: new(int)}
	case r.Locked():
		result := locked(r.At, *r.LockedUntil)
		return &result
	}
	return nil
}

// refusedByCharge returns the answer to an attempt that the charge refused: another request used or changed the budget after
// resolve.
func (v *Verifier) refusedByCharge(ctx context.Context, q question, resolve resolveFunc) (Result, error) {
	_, refused, err := v.resolveOrRefuse(ctx, q, resolve)
	if err != nil {
		return Result{}, err
	}
	if refused != nil {
		return *refused, nil
	}
	return Result{}, ErrChanging // for example, an unlock between the charge and this query
}

// confirm returns the result of a right PIN, with a new session. If Redis cannot store the session, the result has no session,
// and the agent asks for the PIN again next time.
func (v *Verifier) confirm(ctx context.Context, r Resolved, a attempt, after budgetState) Result {
	left := remaining(after, v.budget)
	result := Result{Outcome: Right, Remaining: &left, TTL: r.TTL(), Holder: a.HolderID, Generation: a.Generation, Tried: after.tried}
	if r.approving != nil { // the use of the approval makes its session
		result.LockedUntil, result.RetryAfter = lockAfter(after)
		return result
	}
	if r.InstanceID == uuid.Nil {
		return result // a customer's own PIN: there is no agent that needs a session
	}
	if after.LockedUntil != nil || after.Deactivated {
		return result // a later attempt wrote a lock; a session would become valid when that lock ends
	}
	t, err := v.sessions.Create(ctx, session.Session{
		InstanceID: r.InstanceID, CustomerID: r.CustomerID.UUID, IdentityID: r.IdentityID, HolderID: a.HolderID,
		Generation: after.SessionGeneration, IssuedAt: after.At, TTL: r.TTL(),
	})
	if err == nil {
		result.Session = &t
	}
	return result
}

func locked(at, until time.Time) Result {
	return Result{Outcome: Locked, Remaining: new(int), LockedUntil: &until, RetryAfter: until.Sub(at)}
}

func wrong(after budgetState, b budget.Limits) Result {
	left := remaining(after, b)
	until, wait := lockAfter(after)
	return Result{Outcome: Wrong, Remaining: &left, LockedUntil: until, RetryAfter: wait, Tried: after.tried}
}

// lockAfter returns the end of the lock after an attempt, or nil, and the time until then.
func lockAfter(after budgetState) (*time.Time, time.Duration) {
	if after.LockedUntil == nil {
		return nil, 0
	}
	return after.LockedUntil, after.LockedUntil.Sub(after.At)
}

func remaining(after budgetState, b budget.Limits) int {
	if after.LockedUntil != nil || after.Deactivated {
		return 0
	}
	return max(0, b.Attempts-int(after.Spent))
}

func (v *Verifier) measure(start time.Time, r *Result, err *error) {
	v.seconds.Observe(time.Since(start).Seconds())
	label := string(r.Outcome)
	switch {
	case errors.Is(*err, slowhash.ErrBusy):
		label = "shed"
	case *err != nil:
		label = "error"
	case r.Outcome == Inactive:
		label = "locked"
	}
	v.results.WithLabelValues(label).Inc()
}
