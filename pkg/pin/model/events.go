package model

// event is something that happens around the guesses.
type event uint8

const (
	adminSets event = iota
	agentSets
	adminRemoves
	agentRemoves
	unlocks
	lockEnds
	redisForgets
	firstReplicaDies
	secondReplicaDies
	tooMuchTimePasses
	events
)

var eventNames = [events]string{"an admin sets the PIN", "an agent sets the PIN", "an admin removes the PIN", "an agent removes the PIN",
	"an admin unlocks", "the lock ends", "Redis forgets everything", "replica 1 dies", "replica 2 dies", "more time passes than a verdict may take"}

// happen lets an event happen; false when it would change nothing.
func (w World) happen(s *State, e event) bool {
	switch e {
	case adminSets, agentSets:
		return w.set(s, e == adminSets)
	case adminRemoves, agentRemoves:
		return w.remove(s, e == adminRemoves)
	case unlocks:
		return w.unlock(s)
	case lockEnds:
		if !s.row.Locked {
			return false
		}
		s.row.Locked = false
		s.truth.renewed = s.truth.charges
	case redisForgets:
		s.redis = mirror{}
		for i := range s.attempts {
			if s.attempts[i].at == remembered {
				s.attempts[i].at = over
			}
		}
	case firstReplicaDies, secondReplicaDies:
		return w.die(s, int(e-firstReplicaDies))
	case tooMuchTimePasses:
		late := false
		for i := range s.attempts {
			if a := &s.attempts[i]; a.right && a.chargedOnly() && !a.late {
				a.late, late = true, true
			}
		}
		return late
	}
	return true
}

// set is Enroller.Set: the other one of the two PINs.
func (w World) set(s *State, byAdmin bool) bool {
	r := &s.row
	if !byAdmin && !w.agentMay(s) {
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
		r.WindowStart, r.Forgiven, r.Locks, r.Locked, r.DeactivatedBy = r.Charged, r.Charged, 0, false, 0
	}
	return true
}

// remove is Enroller.Remove.
func (w World) remove(s *State, byAdmin bool) bool {
	r := &s.row
	if r.PIN == 0 || !byAdmin && !w.agentMay(s) {
		return false
	}
	r.PIN, r.Generation = 0, r.Generation+1 // null is equal to nothing, and so is a number that never was
	r.SessionGeneration++
	s.truth.epoch++
	s.endSessions()
	if w.Mutant == BudgetInThePIN {
		r.WindowStart, r.Forgiven, r.Locks, r.Locked, r.DeactivatedBy = r.Charged, r.Charged, 0, false, 0
	}
	return true
}

// agentMay is the condition `unlocked` of enrol.go.
func (w World) agentMay(s *State) bool {
	if w.Mutant != AgentChangesWhileLocked {
		return s.row.open()
	}
	if !s.row.open() {
		s.truth.broken = AgentsWait
	}
	return true
}

// unlock is Enroller.Unlock.
func (w World) unlock(s *State) bool {
	r := &s.row
	r.Locked, r.WindowStart = false, r.Charged
	if w.Mutant == UnlockForgives {
		r.Forgiven, r.DeactivatedBy = r.Charged, 0
	}
	s.truth.renewed = s.truth.charges
	return true
}

// die ends every attempt of a replica where it stands. What is in Redis and in Postgres stays.
func (w World) die(s *State, replica int) bool {
	died := false
	for i := range s.attempts {
		a := &s.attempts[i]
		if i%2 != replica || !a.underWay() {
			continue
		}
		if w.Mutant == CrashRefunds && a.chargedOnly() {
			s.row.Charged--
		}
		a.at, died = over, true
	}
	return died
}
