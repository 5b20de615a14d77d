package model

// event is something that happens between the steps of the attempts.
type event uint8

const (
	adminSets event = iota
	agentSets
	adminRemoves
	agentRemoves
	adminUnlocks
	lockEnds
	redisLosesData
	firstReplicaDies
	secondReplicaDies
	chargesBecomeOld
	events
)

var eventNames = [events]string{"an admin sets the PIN", "an agent sets the PIN", "an admin removes the PIN", "an agent removes the PIN",
	"an admin unlocks the PIN", "the lock ends", "Redis loses all data", "replica 1 dies", "replica 2 dies", "the charges become too old to be settled as right"}

func (e event) String() string { return eventNames[e] }

// happen applies an event. It returns false if the event changes nothing.
func (w World) happen(s *State, e event) bool {
	switch e {
	case adminSets, agentSets:
		return w.set(s, e == adminSets)
	case adminRemoves, agentRemoves:
		return w.remove(s, e == adminRemoves)
	case adminUnlocks:
		return w.unlock(s)
	case lockEnds:
		if !s.row.Locked {
			return false
		}
		s.row.Locked = false
		s.truth.renewed = s.truth.charges
	case redisLosesData:
		for i := range s.attempts {
			if s.attempts[i].phase == confirmed {
				s.attempts[i].phase = finished
			}
		}
	case firstReplicaDies, secondReplicaDies:
		return w.die(s, int(e-firstReplicaDies))
	case chargesBecomeOld:
		late := false
		for i := range s.attempts {
			if a := &s.attempts[i]; a.right && a.unsettled() && !a.late {
				a.late, late = true, true
			}
		}
		return late
	}
	return true
}

// set is Store.Set. It sets the other one of the two PINs.
func (w World) set(s *State, byAdmin bool) bool {
	r := &s.row
	if !byAdmin && !w.agentMayChange(s) {
		return false
	}
	r.PIN = 3 - max(r.PIN, 1)
	r.Generation++
	if w.Mutant != SetKeepsSessions {
		r.SessionGeneration++
	}
	s.truth.epoch++
	s.endSessions()
	if byAdmin {
		s.truth.renewed, s.truth.forgiven, s.truth.locks = s.truth.charges, s.truth.charges, 0
	}
	if byAdmin || w.Mutant == AgentSetRenews {
		r.renew()
	}
	return true
}

// remove is Store.Remove.
func (w World) remove(s *State, byAdmin bool) bool {
	r := &s.row
	if r.PIN == 0 || !byAdmin && !w.agentMayChange(s) {
		return false
	}
	r.PIN, r.Generation = 0, r.Generation+1 // a new number stands for null: both equal no earlier generation
	r.SessionGeneration++
	s.truth.epoch++
	s.endSessions()
	if w.Mutant == RemoveRenews {
		r.renew()
	}
	return true
}

// agentMayChange is the condition unlocked in change.go.
func (w World) agentMayChange(s *State) bool {
	if w.Mutant != AgentChangesWhileLocked {
		return s.row.open()
	}
	if !s.row.open() {
		s.truth.broken = AgentsWait
	}
	return true
}

// unlock is Store.Unlock.
func (w World) unlock(s *State) bool {
	r := &s.row
	r.Locked, r.WindowStart = false, r.Charged
	if w.Mutant == UnlockForgives {
		r.Forgiven, r.DeactivatedBy = r.Charged, 0
	}
	s.truth.renewed = s.truth.charges
	return true
}

// die ends every running attempt of a replica. The data in Redis and in Postgres stays.
func (w World) die(s *State, replica int) bool {
	died := false
	for i := range s.attempts {
		a := &s.attempts[i]
		if i%2 != replica || !a.running() {
			continue
		}
		if w.Mutant == CrashRefunds && a.unsettled() {
			s.row.Charged--
		}
		a.phase, died = finished, true
	}
	return died
}
