package model

// Invariant is a sentence that must be true in every state that can be reached.
type Invariant uint8

// The invariants. I1 to I6 are those of docs/architecture.md, section 5.
const (
	_ Invariant = iota
	// BudgetHolds, I1, I2 and I5: since the last right PIN, set or unlock by an admin, or end of a lock.
	BudgetHolds
	// FailuresHold: since the last right PIN or set by an admin.
	FailuresHold
	// ChargesStay, I3: whatever dies.
	ChargesStay
	// FullIsLocked: the attempt that uses the budget up writes the lock or the deactivation itself.
	FullIsLocked
	// RightIsRight: a right verdict counts for the PIN that it was reached on, while that is set, and while it is young.
	RightIsRight
	// SessionsEnd, I6.
	SessionsEnd
	// LocksAreReal: a mirror in Redis refuses nobody whom Postgres had not locked during the request.
	LocksAreReal
	// AgentsWait, I5.
	AgentsWait
	// LocksGrow: an unlock or an agent makes no lock shorter than it has to be.
	LocksGrow
	// MarksInOrder is the table's own check.
	MarksInOrder
)

var sentences = [...]string{
	BudgetHolds:  "no more attempts are charged than the budget has",
	FailuresHold: "no more consecutive failures are charged than deactivate",
	ChargesStay:  "a charged attempt stays charged, under a number of its own",
	FullIsLocked: "a used up budget is locked or deactivated",
	RightIsRight: "only a candidate that is the PIN now is right",
	SessionsEnd:  "a session ends for good with a lock, a set or a removal, and none comes to life with a lock's end",
	LocksAreReal: "only a lock in Postgres refuses",
	AgentsWait:   "an agent changes nothing while the PIN is locked or deactivated",
	LocksGrow:    "each lock without a right PIN between counts towards the next one",
	MarksInOrder: "forgiven <= window_start <= charged",
}

func (i Invariant) String() string { return sentences[i] }

// violated returns the first invariant that is not true in a state; 0 when all are.
func (w World) violated(s State) Invariant {
	r, t := s.row, s.truth
	switch {
	case t.broken != 0:
		return t.broken
	case r.Forgiven > r.WindowStart || r.WindowStart > r.Charged:
		return MarksInOrder
	case r.Charged != t.charges:
		return ChargesStay
	case t.charges-t.renewed > w.Budget:
		return BudgetHolds
	case t.charges-t.forgiven > w.Failures:
		return FailuresHold
	case r.open() && t.charges-t.renewed >= w.Budget || r.DeactivatedBy == 0 && t.charges-t.forgiven >= w.Failures:
		return FullIsLocked
	case r.Locks < t.locks:
		return LocksGrow
	}
	for _, a := range s.attempts {
		if a.at == remembered && a.dead && r.PIN != 0 && r.open() && a.session == r.SessionGeneration {
			return SessionsEnd
		}
	}
	return 0
}

// Mutant is a rule broken on purpose.
type Mutant string

// The mutants, each of which violates an invariant.
const (
	CheckBeforeCharge       Mutant = "the budget is looked at before the charge and not by it"
	ReadThenWrite           Mutant = "the charge writes what was read before, plus one"
	RedisAlone              Mutant = "the budget is in Redis alone"
	CrashRefunds            Mutant = "a crash rolls the charge back"
	VerifierBeforeCharge    Mutant = "the verifier is the one from before the charge"
	NoGenerationCheck       Mutant = "settling does not ask which PIN was compared"
	NoAgeCheck              Mutant = "settling does not ask how old the charge is"
	RightForgivesAll        Mutant = "a right PIN forgives later attempts too"
	AgentSetRenews          Mutant = "an agent's set renews the budget"
	AgentChangesWhileLocked Mutant = "an agent may change a locked PIN"
	BudgetInThePIN          Mutant = "the budget goes with the PIN when that is removed"
	UnlockForgives          Mutant = "an unlock forgives consecutive failures"
	LockKeepsSessions       Mutant = "a lock keeps the sessions"
	SetKeepsSessions        Mutant = "a set keeps the sessions"
	SessionUnderALock       Mutant = "a right PIN makes a session although a later attempt locked"
	MirrorTrusted           Mutant = "a lock mirrored in Redis is believed, however old"
)

// Mutants are all of them.
var Mutants = []Mutant{CheckBeforeCharge, ReadThenWrite, RedisAlone, CrashRefunds, VerifierBeforeCharge, NoGenerationCheck, NoAgeCheck,
	RightForgivesAll, AgentSetRenews, AgentChangesWhileLocked, BudgetInThePIN, UnlockForgives, LockKeepsSessions, SetKeepsSessions, SessionUnderALock, MirrorTrusted}
