package model

import "fmt"

// use is one request to use an approval.
type use struct {
	phase usePhase
	// approval is the number of the approval, from 1.
	approval uint8
	// id is the use_id: 1 or 2. action is the action whose arguments the request has.
	id, action uint8
}

// usePhase is the last step that a request has finished.
type usePhase uint8

const (
	notSent usePhase = iota
	// found is a step of mutants only: the request found that it may use the approval, and has not used it yet.
	found
	// burned means that the approval is used, by this request or by an earlier one with the same use_id.
	burned
	closed
)

func (u use) running() bool { return u.phase == found || u.phase == burned }

// session is the session that the use of an approval makes.
type session struct {
	// stored means that Redis has it, with this session generation.
	stored     bool
	generation uint8
	// revoked means that the table revoked_sessions has it. old means that its lifetime since used_at is over. renewed means that
	// Redis has it with a later begin of its lifetime.
	revoked, old, renewed bool
}

// valid is Resolved.Accepts in pkg/pin/resolve.go.
func (x session) valid(r Row) bool {
	return x.stored && !x.revoked && (!x.old || x.renewed) && r.PIN != 0 && r.open() && x.generation == r.SessionGeneration
}

// useStep is one step of a use.
type useStep struct {
	number int
	use
	does string
}

func (u useStep) String() string {
	return fmt.Sprintf("use %d, at replica %d, of approval %d, with use_id %d and action %d, %s", u.number+1, u.number%2+1, u.approval, u.id, u.action, u.does)
}

// doFunc explores the state after a change. A change that returns false is not explored.
type doFunc func(fmt.Stringer, func(*ApprovalsState) bool)

// useSteps are the steps of uses. The first request has the use_id 1: the others are equal to it.
func (w Approvals) useSteps(s ApprovalsState, do doFunc) {
	for i := range w.Uses {
		u := s.uses[i]
		switch {
		case u.phase == notSent && (i == 0 || s.uses[i-1].phase != notSent):
			for k := range s.approvals {
				for id := uint8(1); id <= min(uint8(i)+1, 2) && s.approvals[k].status != notAsked; id++ {
					for action := uint8(1); action <= 2; action++ {
						u := use{approval: uint8(k) + 1, id: id, action: action}
						do(useStep{i, u, "is sent"}, func(s *ApprovalsState) bool { return w.send(s, &s.uses[i], u) })
					}
				}
			}
		case u.phase == found:
			do(useStep{i, u, "burns what it found"}, func(s *ApprovalsState) bool { return w.burnFound(s, &s.uses[i]) })
		case u.phase == burned:
			do(useStep{i, u, "is answered"}, func(s *ApprovalsState) bool { return w.answer(s, &s.uses[i]) })
			if w.Session {
				do(useStep{i, u, "finds Redis down"}, func(s *ApprovalsState) bool { s.uses[i].phase = closed; return true })
			}
		}
	}
}

// send is Uses.Use in pkg/approval/use.go: burn, and if that finds nothing to burn, why, which compares with an earlier burn.
func (w Approvals) send(s *ApprovalsState, into *use, u use) bool {
	a := &s.approvals[u.approval-1]
	same := a.action == u.action
	*into = u
	switch {
	case w.mayBurn(s, a, same):
		switch w.Mutant {
		case BurnReadThenWrite:
			into.phase = found
		case ReceiptBeforeBurn:
			into.phase = found
			s.receipt(a, u)
		default:
			s.burn(a, u)
			into.phase = burned
		}
	case a.status == used && (a.useID == u.id || w.Mutant == UseIDNotCompared) && (same || w.Mutant == RepeatIgnoresAction) && w.Mutant != RepeatRefused:
		into.phase = burned
	default:
		if a.useID == u.id && same {
			s.truth.broken = SameAnswer
		}
		into.phase = closed
	}
	return true
}

// mayBurn is the condition of burnSQL.
func (w Approvals) mayBurn(s *ApprovalsState, a *approval, same bool) bool {
	return (a.status == approved || a.status != used && w.Mutant == BurnIgnoresStatus) && (!a.over || w.Mutant == BurnIgnoresTime) &&
		(same || w.Mutant == BurnIgnoresAction) && (a.generation == s.row.SessionGeneration || w.Mutant == BurnIgnoresGeneration)
}

// burn writes that an approval is used.
func (s *ApprovalsState) burn(a *approval, u use) {
	switch {
	case !a.right:
		s.truth.broken = UsedAfterRightPIN
	case a.ended:
		s.truth.broken = UsedWhileSamePIN
	case a.action != u.action:
		s.truth.broken = UsedForItsAction
	case a.over:
		s.truth.broken = UsedInTime
	}
	a.status, a.useID = used, u.id
}

// burnFound is the second half of the burn in a mutant that reads first.
func (w Approvals) burnFound(s *ApprovalsState, u *use) bool {
	a := &s.approvals[u.approval-1]
	if w.Mutant == ReceiptBeforeBurn {
		if w.mayBurn(s, a, a.action == u.action) {
			s.burn(a, *u)
		}
		u.phase = closed
		return true
	}
	s.burn(a, *u)
	u.phase = burned
	return true
}

// answer is Uses.answer, and Uses.repeat before it: it signs the receipt, or stores the session in Redis. A repeated request
// stores the same session again, unless it has ended.
func (w Approvals) answer(s *ApprovalsState, u *use) bool {
	a := &s.approvals[u.approval-1]
	u.phase = closed
	if !w.Session {
		s.receipt(a, *u)
		return true
	}
	x := &a.session
	if x.revoked || x.old && w.Mutant != RepeatRenewsSession {
		return true
	}
	x.stored, x.generation, x.renewed = true, a.generation, x.old
	if w.Mutant == SessionWithPresentPIN {
		x.generation = s.row.SessionGeneration
	}
	return true
}

// receipt records that a request got the receipt of an approval.
func (s *ApprovalsState) receipt(a *approval, u use) {
	if a.action != u.action {
		s.truth.broken = UsedForItsAction
	}
	a.answered |= 1 << u.id
}
