// Package model is a model of the guess budget and of approvals without Postgres, Redis and hashing: the row of one holder, the
// rows of approvals, and the steps of requests at two replicas, as plain values. A test explores every reachable state: every
// order of the steps of parallel requests, with crashes, lost Redis data and changes of the PIN in between.
//
// The model has no remembered refusals (pkg/pin/refusals.go): they only refuse, so they cannot break the budget.
//
// A step of the model is a step of the program: resolve, charge, compare and settle in pkg/pin/verify.go,
// resolve.go and charge.go; set, remove and unlock in change.go. The steps of approvals are in pkg/pin/approve.go and
// pkg/approval; the comments of approvals.go, uses.go and approval_events.go name the functions. If you change one, change the
// other too.
package model

import "fmt"

// MaxAttempts is the largest number of attempts in a World.
const MaxAttempts = 4

// World is the size of the explored space, and the rules.
type World struct {
	// Attempts is the number of attempts. They run alternately at the two replicas.
	Attempts int
	// Budget and Failures are Attempts and Failures of budget.Limits.
	Budget, Failures uint8
	// Events is the largest number of events, and Repeats the largest number of repetitions of one event.
	Events, Repeats uint8
	// Mutant is a rule that is broken on purpose, or "".
	Mutant Mutant
}

// Row is the state of one row of pin_holders.
type Row struct {
	// PIN is the PIN behind the verifier: 0 for no PIN, else 1 or 2.
	PIN               uint8
	Generation        uint8
	SessionGeneration uint8
	Charged           uint8
	WindowStart       uint8
	Forgiven          uint8
	Locks             uint8
	LockedBy          uint8
	// Locked is locked_until > now().
	Locked bool
	// DeactivatedBy is 0 if the column is null.
	DeactivatedBy uint8
}

// open reports whether the PIN is neither locked nor deactivated.
func (r Row) open() bool { return !r.Locked && r.DeactivatedBy == 0 }

func (r *Row) renew() {
	r.WindowStart, r.Forgiven, r.Locks, r.Locked, r.DeactivatedBy = r.Charged, r.Charged, 0, false, 0
}

// phase is the last step that an attempt has finished.
type phase uint8

const (
	waiting phase = iota
	resolved
	charged
	compared
	// confirmed means settled as right, with a session in Redis.
	confirmed
	finished
)

// attempt is one request in the function verify. A field that no later step reads is set to zero. So states that differ only in
// such fields are equal, and the test explores them once.
type attempt struct {
	phase phase
	// lastCharged is the number of the last charge that resolve saw. seenPIN is the PIN that resolve saw.
	lastCharged, seenPIN uint8
	// The charge returned these values.
	number, pin, generation uint8
	// right means that the candidate is the PIN that the charge returned.
	right bool
	// late means that the charge is too old to be settled as right.
	late bool
	// session is the session generation that settling returned.
	session uint8

	// Only the invariants read the following fields. ordinal is the true number of the charge. epoch is the number of the PIN
	// at the charge. ended means that the session must be invalid.
	ordinal, epoch uint8
	ended          bool
}

func (a attempt) running() bool {
	return a.phase != waiting && a.phase != confirmed && a.phase != finished
}

// unsettled reports whether the attempt was charged and is not settled.
func (a attempt) unsettled() bool { return a.phase == charged || a.phase == compared }

// truth records what happened, independently of the row. The invariants compare the two.
type truth struct {
	charges uint8
	// Attempts up to renewed no longer count towards a lock. Attempts up to forgiven are no longer consecutive failures.
	renewed, forgiven uint8
	// epoch is the number of times that the PIN was set or removed.
	epoch uint8
	// locks is the number of locks since the last right PIN, and lastLock the number of the attempt that wrote the last lock.
	locks, lastLock uint8
	// broken is an invariant that a step violated, or 0.
	broken Invariant
	// ended is true only during a step that ends every session.
	ended bool
}

// State is one state of the world. It is comparable.
type State struct {
	row      Row
	attempts [MaxAttempts]attempt
	happened [events]uint8
	truth    truth
}

func (w World) start() State {
	return State{row: Row{PIN: 1, Generation: 1, SessionGeneration: 1}, truth: truth{epoch: 1}}
}

func (w World) steps(s State, visit func(fmt.Stringer, State)) {
	for i := range w.Attempts {
		a := s.attempts[i]
		if a.phase == waiting && i > 0 && s.attempts[i-1].phase == waiting {
			continue // waiting attempts are equal, so the first one starts first
		}
		if a.phase != waiting && !a.running() {
			continue
		}
		next := s
		w.advance(&next, &next.attempts[i], false)
		visit(attemptStep{attempt: i, phase: a.phase + 1}, w.after(next))
		if a.phase == resolved && next.attempts[i].phase == charged {
			next := s
			w.advance(&next, &next.attempts[i], true)
			visit(attemptStep{attempt: i, phase: charged, right: true}, w.after(next))
		}
	}
	var happened uint8
	for _, n := range s.happened {
		happened += n
	}
	if happened >= w.Events {
		return
	}
	for e := event(0); e < events; e++ {
		next := s
		if s.happened[e] < w.Repeats && w.happen(&next, e) {
			next.happened[e]++
			visit(e, w.after(next))
		}
	}
}

// after clears the fields of finished attempts.
func (w World) after(s State) State {
	s.truth.ended = false
	for i := range s.attempts {
		if a := &s.attempts[i]; a.phase == finished {
			*a = attempt{phase: finished}
		}
	}
	return s
}

// advance makes the next step of an attempt. Only the charge uses right: whether the candidate is the PIN that it returns.
func (w World) advance(s *State, a *attempt, right bool) {
	switch a.phase {
	case waiting:
		w.resolve(s, a)
	case resolved:
		w.charge(s, a, right)
	case charged:
		compare(a)
	case compared:
		w.settle(s, a)
	}
}

func (w World) resolve(s *State, a *attempt) {
	a.phase = resolved
	if w.Mutant == ReadThenWrite {
		a.lastCharged = s.row.Charged
	}
	if w.Mutant == VerifierBeforeCharge {
		a.seenPIN = s.row.PIN
	}
	if s.row.PIN == 0 || !s.row.open() {
		a.phase = finished
	}
}

// charge is chargeSQL.
func (w World) charge(s *State, a *attempt, right bool) {
	r := &s.row
	allowed := r.PIN != 0 && (r.open() || w.Mutant == CheckBeforeCharge)
	if !allowed {
		a.phase = finished
		return
	}
	n := r.Charged + 1
	if w.Mutant == ReadThenWrite {
		n = a.lastCharged + 1
	}
	fills, ends := n-r.WindowStart >= w.Budget, n-r.Forgiven >= w.Failures
	r.Charged = n
	r.Locked, r.DeactivatedBy = fills && !ends, 0
	if ends {
		r.DeactivatedBy = n
	}
	if fills {
		r.WindowStart, r.LockedBy = n, n
		r.Locks++
	}
	if (fills || ends) && w.Mutant != LockKeepsSessions {
		r.SessionGeneration++
	}
	pin := r.PIN
	if w.Mutant == VerifierBeforeCharge {
		pin = a.seenPIN
	}
	*a = attempt{phase: charged, number: n, right: right}
	if right {
		a.pin, a.generation = pin, r.Generation
	}

	t := &s.truth
	t.charges++
	if right {
		a.ordinal, a.epoch = t.charges, t.epoch
	}
	full := t.charges-t.renewed >= w.Budget
	if full {
		t.locks, t.lastLock = t.locks+1, t.charges
	}
	if full || t.charges-t.forgiven >= w.Failures {
		s.endSessions()
	}
}

// compare is the comparison.
func compare(a *attempt) {
	a.phase = compared
	if !a.right {
		a.phase = finished // settling a wrong attempt changes no row of pin_holders
	}
}

// settle is settleRightSQL and the creation of the session. It returns false if the outcome is lost: it came too late, or the PIN
// was replaced meanwhile.
func (w World) settle(s *State, a *attempt) bool {
	r := &s.row
	found := r.Generation == a.generation && r.PIN != 0
	if w.Mutant == NoGenerationCheck {
		found = r.PIN != 0
	}
	if a.late && w.Mutant != NoAgeCheck {
		found = false
	}
	if !found {
		a.phase = finished
		return false
	}
	upTo := a.number
	if w.Mutant == RightForgivesAll {
		upTo = r.Charged
	}
	r.Forgiven, r.WindowStart = max(r.Forgiven, upTo), max(r.WindowStart, upTo)
	if r.LockedBy <= upTo {
		r.Locks, r.Locked = 0, false
	}
	if r.DeactivatedBy <= upTo {
		r.DeactivatedBy = 0
	}

	t := &s.truth
	if a.epoch != t.epoch || a.pin != r.PIN || a.late {
		t.broken = RightIsRight
	}
	t.renewed, t.forgiven = max(t.renewed, a.ordinal), max(t.forgiven, a.ordinal)
	if t.lastLock <= a.ordinal {
		t.locks = 0
	} else {
		t.locks = min(t.locks, 1)
	}
	session := attempt{phase: confirmed, session: r.SessionGeneration, ended: !r.open()}
	if session.ended && w.Mutant != SessionUnderALock {
		session = attempt{phase: finished} // a later attempt wrote a lock
	}
	*a = session
	return true
}

// endSessions records that every existing session must be invalid from now on.
func (s *State) endSessions() {
	s.truth.ended = true
	for i := range s.attempts {
		if a := &s.attempts[i]; a.phase == confirmed {
			a.ended = true
		}
	}
}
