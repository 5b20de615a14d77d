package pin

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/token"
)

// verdictTime bounds a verification from its charge on. A charge older than this can no longer be settled as right.
const verdictTime = 10 * time.Second

// Outcome is what became of one candidate. An error is for what kept us from an answer.
type Outcome string

// The outcomes. Only Right and Wrong were compared.
const (
	Right    Outcome = "right"
	Wrong    Outcome = "wrong"
	Locked   Outcome = "locked"
	Inactive Outcome = "inactive"
	NotSet   Outcome = "not_set"
)

// Result is the answer to one candidate.
type Result struct {
	Outcome Outcome
	// Remaining are the attempts that are left before a lock; nil when no PIN applies.
	Remaining *int
	// LockedUntil is nil when there is no lock; RetryAfter is how long it still lasts by Postgres's clock.
	LockedUntil *time.Time
	RetryAfter  time.Duration
	// Session is nil unless the candidate was right, for an agent, and Redis could store it.
	Session *token.Token
	TTL     time.Duration

	// holder and generation say of which PIN the candidate was right.
	holder, generation uuid.UUID
}

// Verifier checks candidates.
type Verifier struct {
	store    store
	shield   shield
	hasher   hasher
	sessions session.Store
	budget   budget.Limits

	comparisons prometheus.Counter
	results     *prometheus.CounterVec
	seconds     prometheus.Histogram
}

// NewVerifier wires a Verifier. Its metrics go to registry.
func NewVerifier(db *sqlx.DB, r redis.UniversalClient, ring *keyring.Ring, pool *slowhash.Pool, b budget.Limits, registry prometheus.Registerer) *Verifier {
	v := &Verifier{
		store: newStore(db), shield: shield{r}, hasher: hasher{ring, pool}, sessions: session.Store{Redis: r}, budget: b,
		comparisons: prometheus.NewCounter(prometheus.CounterOpts{Name: "pin_comparisons_total", Help: "Candidates compared with a verifier."}),
		results:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pin_verifications_total", Help: "Verifications by result."}, []string{"result"}),
		seconds:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pin_verify_seconds", Help: "Time for one verification.", Buckets: prometheus.ExponentialBuckets(.001, 2, 14)}),
	}
	for _, result := range []string{"right", "wrong", "locked", "not_set", "shed", "error"} {
		v.results.WithLabelValues(result)
	}
	registry.MustRegister(v.comparisons, v.results, v.seconds)
	return v
}

// Verify reports whether candidate is the PIN that applies to who. The attempt is charged before anything is compared
// and forgiven only by a right PIN, so a crash, a cancelled request or a parallel guess is never free.
//
// Errors: caller.ErrInvalid and directory.ErrNoInstance about the proxy key, ErrNoSubject, ErrNotWithin, slowhash.ErrBusy
// (nothing was charged), ErrUnknownKey, ErrChanging; else what kept us from an answer.
func (v *Verifier) Verify(ctx context.Context, who Subject, candidate PIN) (result Result, err error) {
	defer v.measure(time.Now(), &result, &err)

	// A flood ends here, before it costs a query. The instance is only a claim yet, and gets nothing by it.
	if v.hasher.pool.Full(who.InstanceID) {
		return Result{}, slowhash.ErrBusy
	}
	s, err := v.store.resolve(ctx, who)
	if err != nil {
		return Result{}, err
	}
	if refused := refusal(s); refused != nil {
		return *refused, nil
	}
	if err := v.hasher.canCheck(*s.Verifier); err != nil {
		return Result{}, err
	}
	place, err := v.hasher.pool.Reserve(s.InstanceID)
	if err != nil {
		return Result{}, err
	}
	defer place.Release()

	// From the charge on a client that hangs up cancels nothing: its attempt is spent, so it is also judged.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verdictTime)
	defer cancel()
	count, lockedUntil := v.shield.count(ctx, s.HolderID.UUID, s.Charged)
	if !lockedUntil.IsZero() {
		return locked(s.At, lockedUntil), nil
	}
	c, err := v.store.charge(ctx, s, v.budget)
	if errors.Is(err, errNotCharged) {
		return v.refusedMeanwhile(ctx, who)
	}
	if err != nil {
		return Result{}, err
	}
	reached("charged")
	if c.LockedUntil != nil || c.Spent != count {
		v.shield.rewrite(ctx, c)
	}

	right, err := v.hasher.matches(ctx, place, c.HolderID, candidate, c.Verifier)
	if err != nil {
		return Result{}, err
	}
	v.comparisons.Inc()
	reached("compared")

	if right {
		after, err := v.store.settleRight(ctx, c)
		if err == nil {
			reached("settled")
			return v.remember(ctx, place, s, c, after, candidate), nil
		}
		if !errors.Is(err, errLost) {
			return Result{}, err
		}
	}
	after, err := v.store.settleWrong(ctx, s, c)
	if err != nil {
		return Result{}, err
	}
	return wrong(after, v.budget), nil
}

// refusal answers without a comparison when no PIN applies or it is locked or deactivated; nil when it may be guessed.
func refusal(s Standing) *Result {
	none := 0
	switch {
	case !s.HasPIN():
		return &Result{Outcome: NotSet}
	case s.Deactivated:
		return &Result{Outcome: Inactive, Remaining: &none}
	case s.Locked():
		r := locked(s.At, *s.LockedUntil)
		return &r
	}
	return nil
}

// refusedMeanwhile says what happened between the look at the budget and the charge that it refused.
func (v *Verifier) refusedMeanwhile(ctx context.Context, who Subject) (Result, error) {
	s, err := v.store.resolve(ctx, who)
	if err != nil {
		return Result{}, err
	}
	if refused := refusal(s); refused != nil {
		return *refused, nil
	}
	return Result{}, ErrChanging // an unlock came between; nothing was charged
}

// remember makes the session of a right PIN. Without Redis there is none, and the person is asked again next time.
func (v *Verifier) remember(ctx context.Context, place slowhash.Place, s Standing, c charge, after budgetState, p PIN) Result {
	if v.hasher.outdated(c.Verifier) {
		v.renew(ctx, place, c, p)
	}
	left := remaining(after, v.budget)
	result := Result{Outcome: Right, Remaining: &left, TTL: s.TTL(), holder: c.HolderID, generation: c.Generation}
	if s.InstanceID == uuid.Nil {
		return result // nobody is there to use a session
	}
	if after.LockedUntil != nil || after.Deactivated {
		return result // by a later attempt: a session would come to life when that lock ends
	}
	t, err := v.sessions.Create(ctx, session.Session{
		InstanceID: s.InstanceID, CustomerID: s.CustomerID.UUID, IdentityID: s.IdentityID, HolderID: c.HolderID,
		Generation: after.SessionGeneration, IssuedAt: after.At, TTL: s.TTL(),
	})
	if err == nil {
		result.Session = &t
	}
	return result
}

// renew keeps a right PIN under today's costs and key. When it fails, the next right PIN tries again.
func (v *Verifier) renew(ctx context.Context, place slowhash.Place, c charge, p PIN) {
	if verifier, err := v.hasher.rehash(ctx, place, c.HolderID, p); err == nil {
		_ = v.store.renew(ctx, c, verifier)
	}
}

func locked(at, until time.Time) Result {
	none := 0
	return Result{Outcome: Locked, Remaining: &none, LockedUntil: &until, RetryAfter: until.Sub(at)}
}

func wrong(after budgetState, b budget.Limits) Result {
	left := remaining(after, b)
	r := Result{Outcome: Wrong, Remaining: &left, LockedUntil: after.LockedUntil}
	if after.LockedUntil != nil {
		r.RetryAfter = after.LockedUntil.Sub(after.At)
	}
	return r
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
