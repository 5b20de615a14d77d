package model

// Invariant is a statement that must be true in every reachable state.
type Invariant uint8

// The invariants. I1 to I6 are those of docs/architecture.md, section 5.
const (
	_ Invariant = iota
	// BudgetHolds (I1, I2, I5) counts since the last right PIN, set or unlock by an admin, or end of a lock.
	BudgetHolds
	// FailuresHold counts since the last right PIN or set by an admin.
	FailuresHold
	// ChargesStay is I3.
	ChargesStay
	// FullIsLocked: the attempt that uses up the budget writes the lock or the deactivation itself.
	FullIsLocked
	// RightIsRight: an attempt is settled as right only for the compared PIN, while that PIN is set, and soon after its charge.
	RightIsRight
	// SessionsEnd is I6.
	SessionsEnd
	// AgentsWait is I5.
	AgentsWait
	// LocksGrow: an unlock, and a change by an agent, do not make the next lock shorter.
	LocksGrow
	// MarksInOrder is a constraint of the table.
	MarksInOrder // the last one: the invariants of approvals follow
)

var sentences = [...]string{
	BudgetHolds:  "no more attempts are charged than the budget allows",
	FailuresHold: "no more consecutive failures are charged than the limit allows",
	ChargesStay:  "a charged attempt stays charged and has its own number",
	FullIsLocked: "a holder with a used up budget is locked or deactivated",
	RightIsRight: "only a candidate that is the current PIN is right",
	SessionsEnd:  "a lock, a set and a removal end every session, and the end of a lock makes no session valid",
	AgentsWait:   "an agent changes nothing while the PIN is locked or deactivated",
	LocksGrow:    "each lock since the last right PIN makes the next lock longer",
	MarksInOrder: "forgiven <= window_start <= charged",

	UsedOnce:              "an approval is used at most once",
	UsedAfterRightPIN:     "an approval is used only after a right PIN at its link",
	UsedForItsAction:      "an approval is used for exactly its action",
	UsedWhileSamePIN:      "an approval is never used after its PIN was locked, changed or removed",
	UsedInTime:            "an approval is never used after its time",
	ApprovedIsUsable:      "an approved approval can be used until its PIN is locked, changed or removed",
	TwoPINsPerLink:        "no more than two PINs are charged at one link",
	WrongPINsEndLink:      "two wrong PINs end the link",
	SameAnswer:            "a repeated use_id gets the same answer",
	StatusesInOrder:       "only a pending approval is decided, only an approved one is used, and a final status stays",
	OnePending:            "an action has at most one pending approval",
	OnlyDenialsRemembered: "asking again is refused after a denial by the person, and only then",
	SessionStaysEnded:     "a session that has ended does not become valid again by a repeated use",
}

func (i Invariant) String() string { return sentences[i] }

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
		if a.phase == confirmed && a.ended && r.PIN != 0 && r.open() && a.session == r.SessionGeneration {
			return SessionsEnd
		}
	}
	return 0
}

// Mutant is a rule that is broken on purpose. Each mutant must violate an invariant.
type Mutant string

// The mutants.
const (
	CheckBeforeCharge       Mutant = "the charge does not check the budget"
	ReadThenWrite           Mutant = "the charge adds one to a number that was read earlier"
	CrashRefunds            Mutant = "a crash rolls back the charge"
	VerifierBeforeCharge    Mutant = "the candidate is compared with a verifier read before the charge"
	NoGenerationCheck       Mutant = "settling ignores which PIN was compared"
	NoAgeCheck              Mutant = "settling ignores the age of the charge"
	RightForgivesAll        Mutant = "a right PIN forgives later attempts too"
	AgentSetRenews          Mutant = "setting a PIN as an agent renews the budget"
	AgentChangesWhileLocked Mutant = "an agent may change a locked PIN"
	RemoveRenews            Mutant = "removing a PIN renews the budget"
	UnlockForgives          Mutant = "an unlock forgives consecutive failures"
	LockKeepsSessions       Mutant = "a lock does not end the sessions"
	SetKeepsSessions        Mutant = "setting a PIN does not end the sessions"
	SessionUnderALock       Mutant = "a right PIN creates a session although a later attempt wrote a lock"
)

// Mutants are all mutants.
var Mutants = []Mutant{CheckBeforeCharge, ReadThenWrite, CrashRefunds, VerifierBeforeCharge, NoGenerationCheck, NoAgeCheck,
	RightForgivesAll, AgentSetRenews, AgentChangesWhileLocked, RemoveRenews, UnlockForgives, LockKeepsSessions, SetKeepsSessions, SessionUnderALock}
