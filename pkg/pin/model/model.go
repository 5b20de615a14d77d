// Package model is the guess budget without Postgres, Redis and hashes: one holder's row and the steps of a verification
// as plain values, small enough that every order in which the steps of two replicas can meet each other, crashes, a lost
// Redis and changes of the PIN is looked at. A step here is a statement there: resolve, shield.count, charge, rewrite,
// compare, settle, remember in verify.go and store.go; set, remove, unlock in enrol.go. Who changes one changes both.
package model

// Most is the most attempts that a world has.
const Most = 4

// World is how large a world is explored, and with which rules.
type World struct {
	// Attempts are the guesses; each runs at one of two replicas.
	Attempts int
	// Budget and Failures are budget.Limits' Attempts and Failures.
	Budget, Failures uint8
	// Events are how many of the things that may happen around the guesses do happen, and Repeats how often each.
	Events, Repeats uint8
	// Mutant breaks a rule on purpose; "" breaks none.
	Mutant Mutant
}

// Row is what one row of pin_holders says.
type Row struct {
	// PIN stands for the verifier: 0 is none, 1 and 2 are two PINs.
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
	// DeactivatedBy is 0 when it is null.
	DeactivatedBy uint8
}

func (r Row) open() bool { return !r.Locked && r.DeactivatedBy == 0 }

// mirror is what Redis has of the holder. Its count decides nothing, and is left out unless a mutant makes it decide.
type mirror struct{ count, lockedBy uint8 }

type phase uint8

const (
	waiting phase = iota
	resolved
	counted
	charged
	// compared is also written to the mirror: nobody sees a comparison.
	compared
	// remembered is settled as right, with a session in Redis.
	remembered
	over
)

// attempt is one request on its way through Verify. What no later step reads is zero, so that states which differ in
// nothing that matters are one.
type attempt struct {
	at phase
	// seen is the number of the last charge that resolve saw, seenPIN the PIN.
	seen, seenPIN uint8
	// What the charge returned.
	number, pin, generation uint8
	locks                   bool
	// right says that the candidate is that PIN.
	right bool
	// late: the charge is older than a verdict may be.
	late bool
	// session is the session generation that settling returned.
	session uint8

	// For the invariants alone: the true number of the charge, which PIN that was (they are counted), whether the holder
	// was locked at any time since the request began, and whether the session has met its end.
	ordinal, epoch uint8
	sawLock        bool
	dead           bool
}

func (a attempt) underWay() bool { return a.at != waiting && a.at != remembered && a.at != over }

func (a attempt) chargedOnly() bool { return a.at == charged || a.at == compared }

// truth is what really happened, kept beside the row and by other rules, for the invariants.
type truth struct {
	charges uint8
	// Attempts up to renewed and forgiven no longer count: towards a lock, and as consecutive failures.
	renewed, forgiven uint8
	// epoch counts how often the PIN was set or removed.
	epoch           uint8
	locks, lastLock uint8
	broken          Invariant
}

// State is one state of the world. It is comparable.
type State struct {
	row      Row
	redis    mirror
	attempts [Most]attempt
	happened [events]uint8
	truth    truth
}

func start() State {
	return State{row: Row{PIN: 1, Generation: 1, SessionGeneration: 1}, truth: truth{epoch: 1}}
}

// steps calls visit for every state that one step leads to.
func (w World) steps(s State, visit func(action, State)) {
	for i := range w.Attempts {
		a := s.attempts[i]
		if a.at == waiting && i > 0 && s.attempts[i-1].at == waiting {
			continue // they are alike: the first begins first
		}
		if a.at != waiting && !a.underWay() {
			continue
		}
		next := s
		w.advance(&next, &next.attempts[i], false)
		visit(action{attempt: i, what: a.at + 1}, w.after(next))
		if a.at == counted && next.attempts[i].at == charged {
			next := s
			w.advance(&next, &next.attempts[i], true)
			visit(action{attempt: i, what: charged, right: true}, w.after(next))
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
			visit(action{event: e, happened: true}, w.after(next))
		}
	}
}

// after notes what is true from then on for everybody who is under way.
func (w World) after(s State) State {
	for i := range s.attempts {
		switch a := &s.attempts[i]; a.at {
		case resolved:
			a.sawLock = a.sawLock || s.row.Locked
		case over:
			*a = attempt{at: over}
		}
	}
	return s
}

// advance lets an attempt take its next step. Whether its candidate is the PIN that the charge returns is said there.
func (w World) advance(s *State, a *attempt, right bool) {
	switch a.at {
	case waiting:
		w.resolve(s, a)
	case resolved:
		w.count(s, a)
	case counted:
		w.charge(s, a, right)
	case charged:
		w.rewrite(s, a)
	case compared:
		w.settle(s, a)
	}
}

func (w World) resolve(s *State, a *attempt) {
	a.at, a.seen = resolved, s.row.Charged
	if w.Mutant == VerifierBeforeCharge {
		a.seenPIN = s.row.PIN
	}
	if s.row.PIN == 0 || !s.row.open() {
		a.at = over
	}
}

// count is shield.lua.
func (w World) count(s *State, a *attempt) {
	mirrorKnowsMore := s.redis.lockedBy > a.seen
	if w.Mutant == MirrorTrusted {
		mirrorKnowsMore = s.redis.lockedBy > 0
	}
	if mirrorKnowsMore {
		if !a.sawLock {
			s.truth.broken = LocksAreReal
		}
		a.at = over
		return
	}
	a.at, a.sawLock = counted, false
	if w.Mutant != ReadThenWrite {
		a.seen = 0
	}
	if w.Mutant == RedisAlone {
		if s.redis.count++; s.redis.count > w.Budget {
			a.at = over
		}
	}
}

// charge is chargeSQL.
func (w World) charge(s *State, a *attempt, right bool) {
	r := &s.row
	allowed := r.PIN != 0 && r.open()
	switch w.Mutant {
	case CheckBeforeCharge, RedisAlone:
		allowed = r.PIN != 0
	}
	if !allowed {
		a.at = over
		return
	}
	n := r.Charged + 1
	if w.Mutant == ReadThenWrite {
		n = a.seen + 1
	}
	fills, ends := n-r.WindowStart >= w.Budget, n-r.Forgiven >= w.Failures
	if w.Mutant == RedisAlone {
		fills, ends = false, false
	}
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
	*a = attempt{at: charged, number: n, locks: r.Locked, right: right}
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

// rewrite is shield.rewrite, and the comparison.
func (w World) rewrite(s *State, a *attempt) {
	if a.locks {
		s.redis.lockedBy = a.number
	}
	a.at, a.locks = compared, false
	if !a.right {
		a.at = over // settling a wrong verdict changes no row
	}
}

// settle is settleRightSQL, and the session.
func (w World) settle(s *State, a *attempt) {
	r := &s.row
	found := r.Generation == a.generation && r.PIN != 0
	if w.Mutant == NoGenerationCheck {
		found = r.PIN != 0
	}
	if a.late && w.Mutant != NoAgeCheck {
		found = false
	}
	if !found {
		a.at = over
		return
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
	born := attempt{at: remembered, session: r.SessionGeneration, dead: !r.open()}
	if born.dead && w.Mutant != SessionUnderALock {
		born = attempt{at: over} // a later attempt locked
	}
	*a = born
}

// endSessions notes that every session that anybody has now must be dead from here on.
func (s *State) endSessions() {
	for i := range s.attempts {
		if a := &s.attempts[i]; a.at == remembered {
			a.dead = true
		}
	}
}
