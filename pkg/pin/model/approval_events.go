package model

import "fmt"

// approvalEvent is something that happens to an approval between the steps of the requests.
type approvalEvent uint8

const (
	agentAsks approvalEvent = iota
	personDenies
	agentCancels
	timeEnds
	agentRevokes
	sessionGetsOld
	approvalEvents
)

var approvalEventNames = [approvalEvents]string{"the agent asks for action %d", "the person denies approval %d", "the agent cancels approval %d",
	"the time of approval %d ends", "the agent revokes the session of approval %d", "the lifetime of the session of approval %d ends"}

// approvalStep is one event, with the number of the approval, or of the action that the agent asks for.
type approvalStep struct {
	event  approvalEvent
	number int
}

func (a approvalStep) String() string { return fmt.Sprintf(approvalEventNames[a.event], a.number) }

// eventSteps are the events of a World, except those of attempts' own sessions, and the events of approvals. Asking is a step, not
// an event: it is not limited.
func (w Approvals) eventSteps(s ApprovalsState, do doFunc) {
	for action := 1; action <= min(w.Asks, 2); action++ {
		do(approvalStep{agentAsks, action}, func(s *ApprovalsState) bool { return w.ask(s, uint8(action)) })
	}
	total := s.happened
	for _, n := range s.State.happened {
		total += n
	}
	if total >= w.Events {
		return
	}
	for e := event(0); e < events; e++ {
		if s.State.happened[e] >= w.Repeats {
			continue
		}
		do(e, func(s *ApprovalsState) bool {
			s.State.happened[e]++
			switch e {
			case redisLosesData:
				return s.loseSessions()
			case firstReplicaDies, secondReplicaDies:
				return w.dieAt(s, int(e-firstReplicaDies))
			}
			return w.happen(&s.State, e)
		})
	}
	for k := range s.approvals {
		for e := personDenies; e < approvalEvents; e++ {
			do(approvalStep{e, k + 1}, func(s *ApprovalsState) bool {
				s.happened++
				return w.happenTo(&s.approvals[k], e)
			})
		}
	}
}

// ask is Asker.Ask in pkg/approval/ask.go, with askSQL in limits.go. It returns false if the agent gets the pending approval of the
// same action, or a refusal.
func (w Approvals) ask(s *ApprovalsState, action uint8) bool {
	if s.row.PIN == 0 || !s.row.open() {
		return false
	}
	var next *approval
	remembered, refused := false, false
	for k := range w.Asks {
		a := &s.approvals[k]
		switch {
		case a.status == notAsked && next == nil:
			next = a
		case a.action != action:
		case a.open() && w.Mutant != SecondPending:
			return false
		case a.status == denied:
			remembered = remembered || a.byPerson && w.Mutant != DenialForgotten
			refused = refused || a.refused
		}
	}
	if remembered != refused {
		s.truth.broken = OnlyDenialsRemembered
		return true
	}
	if remembered || next == nil {
		return false
	}
	*next = approval{action: action, status: pending}
	return true
}

// happenTo applies an event to an approval. It returns false if the event changes nothing.
func (w Approvals) happenTo(a *approval, e approvalEvent) bool {
	switch e {
	case personDenies: // Deny in pkg/approval/link.go
		if !a.open() && (a.status != approved || w.Mutant != DenialAfterApproval) {
			return false
		}
		a.status, a.byPerson, a.refused = denied, true, true
	case agentCancels: // Cancel in pkg/approval/cancel.go
		if (a.status != pending && a.status != approved || a.over) && (a.status != used || w.Mutant != CancelAfterUse) {
			return false
		}
		a.status = cancelled
	case timeEnds:
		if a.status != pending && a.status != approved || a.over {
			return false
		}
		a.over = true
	case agentRevokes: // Sessions.Revoke in pkg/pin/sessions.go
		if !a.session.stored {
			return false
		}
		a.session.stored, a.session.revoked, a.ended = false, w.Mutant != RevokedInRedisOnly, true
	case sessionGetsOld:
		if !w.hasSession(*a) || a.session.old {
			return false
		}
		a.session.old, a.ended = true, true
	}
	return true
}

func (w Approvals) hasSession(a approval) bool { return w.Session && a.status == used }

// loseSessions removes all data from Redis.
func (s *ApprovalsState) loseSessions() bool {
	lost := false
	for k := range s.approvals {
		x := &s.approvals[k].session
		lost = lost || x.stored
		x.stored, x.generation, x.renewed = false, 0, false
	}
	return lost
}

// dieAt ends every running attempt and use of a replica.
func (w Approvals) dieAt(s *ApprovalsState, replica int) bool {
	for i, a := range s.attempts {
		if at := s.links[i].approval; i%2 == replica && at > 0 && a.unsettled() && w.Mutant == CrashReturnsTry {
			s.approvals[at-1].tries--
		}
		if i%2 == replica && a.phase == confirmed { // only in the mutant ApproveApart
			s.attempts[i].phase = finished
		}
	}
	died := w.die(&s.State, replica)
	for i := range s.uses {
		if i%2 == replica && s.uses[i].running() {
			s.uses[i].phase, died = closed, true
		}
	}
	return died
}
