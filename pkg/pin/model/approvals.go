package model

import "fmt"

// MaxAsks is the largest number of approvals in Approvals, and MaxUses the largest number of requests that use one.
const (
	MaxAsks = 2
	MaxUses = 3
)

// Approvals is the size of the explored space, and the rules. Each attempt is made at the link of an approval, or without one.
type Approvals struct {
	// World has the attempts, the budget, and the mutant. Its events and the events of approvals count together.
	World
	// Asks is the number of approvals. All of them are asked of the same person, each for action 1 or action 2.
	Asks int
	// Uses is the number of requests to use an approval. They run alternately at the two replicas.
	Uses int
	// Session is true if the approvals grant a session. Otherwise they grant a receipt for one action.
	Session bool
}

type status uint8

// The statuses in the column status. An approval is expired if it is over.
const (
	notAsked status = iota
	pending
	approved
	denied
	cancelled
	used
)

// approval is one row of approvals.
type approval struct {
	action uint8
	status status
	// over is expires_at <= now(), for a row that is pending or approved.
	over         bool
	tries, wrong uint8
	// byPerson is reason = 'person'.
	byPerson bool
	// generation is session_generation. useID is use_hash.
	generation, useID uint8
	session           session

	// Only the invariants read the following fields. pins is the number of PINs that were charged at the link. right means that
	// a right PIN was settled at the link. refused means that the person has denied. ended means that the PIN was locked, changed
	// or removed after the approval, or that the session ended. answered has a bit for each use_id that got a receipt.
	pins           uint8
	right          bool
	refused, ended bool
	answered       uint8
}

// open reports whether the approval can be decided.
func (a approval) open() bool { return a.status == pending && !a.over }

// ApprovalsState is one state. It is comparable.
type ApprovalsState struct {
	State
	approvals [MaxAsks]approval
	links     [MaxAttempts]link
	uses      [MaxUses]use
	// happened is the number of events of approvals.
	happened uint8
}

// link is where an attempt is made.
type link struct {
	// approval is the number of the approval, from 1, or 0 for an attempt without an approval.
	approval uint8
	// generation is the session generation that resolve saw. Only a mutant reads it.
	generation uint8
}

func (w Approvals) start() ApprovalsState { return ApprovalsState{State: w.World.start()} }

func (w Approvals) steps(s ApprovalsState, visit func(fmt.Stringer, ApprovalsState)) {
	do := func(step fmt.Stringer, change func(*ApprovalsState) bool) {
		next := s
		if change(&next) {
			visit(step, w.after(s, next))
		}
	}
	for i := range w.Attempts {
		switch a := s.attempts[i]; {
		case a.phase == waiting && (i == 0 || s.attempts[i-1].phase != waiting): // waiting attempts are equal
			for at := range w.Asks + 1 {
				l := link{approval: uint8(at)}
				do(attemptStep{attempt: i, link: l.approval, phase: resolved}, func(s *ApprovalsState) bool { return w.resolveAt(s, i, l) })
			}
		case a.running() || a.phase == confirmed:
			at := s.links[i].approval
			do(attemptStep{attempt: i, link: at, phase: a.phase + 1}, func(s *ApprovalsState) bool { return w.advanceAt(s, i, false) })
			if a.phase == resolved {
				do(attemptStep{attempt: i, link: at, phase: charged, right: true}, func(s *ApprovalsState) bool { return w.advanceAt(s, i, true) })
			}
		}
	}
	w.useSteps(s, do)
	w.eventSteps(s, do)
}

// after ends the approvals and sessions whose PIN a step has locked, changed or removed. It checks how the statuses changed, and
// clears fields that no later step reads.
func (w Approvals) after(before, s ApprovalsState) ApprovalsState {
	for k := range s.approvals {
		a, old := &s.approvals[k], before.approvals[k]
		if old.status != a.status && !follows(old, a.status) {
			s.truth.broken = StatusesInOrder
		}
		lives := a.status == approved || a.status == used && w.Session
		a.ended = a.ended || s.truth.ended && old.status == a.status && lives
	}
	s.State = w.World.after(s.State)
	for i := range s.attempts {
		if s.attempts[i].phase == finished {
			s.links[i] = link{}
		}
	}
	for i := range s.uses {
		if s.uses[i].phase == closed {
			s.uses[i] = use{phase: closed}
		}
	}
	return s
}

// resolveAt begins an attempt. At a link, it is Verifier.Approve in pkg/pin/approve.go: only a pending approval goes on.
func (w Approvals) resolveAt(s *ApprovalsState, i int, at link) bool {
	if at.approval > 0 && !s.approvals[at.approval-1].open() {
		return false
	}
	w.resolve(&s.State, &s.attempts[i])
	if w.Mutant == GenerationBeforeSettling {
		at.generation = s.row.SessionGeneration
	}
	s.links[i] = at
	return true
}

// advanceAt makes the next step of an attempt. At a link, the charge also takes a try, and settling writes the approval.
func (w Approvals) advanceAt(s *ApprovalsState, i int, right bool) bool {
	a, l := &s.attempts[i], s.links[i]
	if l.approval == 0 {
		w.advance(&s.State, a, right)
		if a.phase == confirmed {
			a.phase = finished // World explores the sessions of these attempts
		}
		return true
	}
	at := &s.approvals[l.approval-1]
	switch a.phase {
	case resolved:
		w.chargeAt(s, a, at, right)
	case charged:
		if compare(a); a.phase == finished {
			w.wrongAt(at)
		}
	case compared:
		w.settleAt(s, a, at, l)
	case confirmed:
		w.approve(s, a, at, s.row.SessionGeneration, true) // only for the mutant ApproveApart
	}
	return true
}

// chargeAt is chargeTrySQL: one statement that charges the attempt and takes a try, or does neither.
func (w Approvals) chargeAt(s *ApprovalsState, a *attempt, at *approval, right bool) {
	if !at.open() || at.tries >= 2 && w.Mutant != TriesNotChecked {
		a.phase = finished
		return
	}
	w.charge(&s.State, a, right)
	if a.phase != charged {
		return
	}
	at.pins++
	if w.Mutant != TryAfterCompare {
		at.tries++
	}
}

// wrongAt is countWrong, in the transaction that settles a wrong PIN. The second one ends the link.
func (w Approvals) wrongAt(at *approval) {
	if w.Mutant == TryAfterCompare {
		at.tries++
	}
	at.wrong++
	if at.wrong >= 2 && (at.status == pending || w.Mutant == WrongAfterDecision) && w.Mutant != WrongKeepsLink {
		at.status, at.byPerson = denied, w.Mutant == WrongIsDenial
	}
}

// settleAt is settleApproving: the transaction that settles a right PIN also writes that the approval is approved.
func (w Approvals) settleAt(s *ApprovalsState, a *attempt, at *approval, l link) {
	if !w.settle(&s.State, a) {
		w.wrongAt(at)
		if w.Mutant == LostApproves && at.open() {
			at.status, at.generation = approved, s.row.SessionGeneration
		}
		return
	}
	if a.phase == confirmed && w.Mutant == ApproveApart {
		return
	}
	generation, unlocked := s.row.SessionGeneration, a.phase == confirmed || w.Mutant == ApproveUnderLock
	if w.Mutant == GenerationBeforeSettling {
		generation = l.generation
	}
	w.approve(s, a, at, generation, unlocked)
}

// approve is approveSQL, if no later attempt has locked the PIN.
func (w Approvals) approve(s *ApprovalsState, a *attempt, at *approval, generation uint8, unlocked bool) {
	if unlocked && (at.open() || w.Mutant == ApproveTooLate) {
		at.status, at.over, at.generation = approved, false, generation
		at.right, at.ended = true, a.ended || !s.row.open()
	}
	a.phase = finished
}
