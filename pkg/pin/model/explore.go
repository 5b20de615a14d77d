package model

import "fmt"

// action is one step of an attempt, or one event, as text for the report.
type action struct {
	attempt int
	phase   phase
	right   bool
	event   event
	isEvent bool
}

var phaseNames = [...]string{resolved: "is resolved", charged: "is charged, with a wrong candidate",
	compared: "is compared", confirmed: "is settled as right, if that is still allowed"}

func (a action) String() string {
	if a.isEvent {
		return eventNames[a.event]
	}
	name := phaseNames[a.phase]
	if a.right {
		name = "is charged, with the right candidate"
	}
	return fmt.Sprintf("attempt %d, at replica %d, %s", a.attempt+1, a.attempt%2+1, name)
}

// Violation is a reachable state in which an invariant is false.
type Violation struct {
	Invariant Invariant
	// Steps is the shortest sequence of steps that reaches the state.
	Steps []string
}

// Explore visits every reachable state, in the order of the number of steps. It returns the number of states, and the first
// violation, or nil.
func (w World) Explore() (states int, found *Violation) {
	type origin struct {
		state  int
		action action
	}
	all, origins, seen := []State{start()}, []origin{{}}, map[State]struct{}{start(): {}}
	for i := 0; i < len(all); i++ {
		if broken := w.violated(all[i]); broken != 0 {
			found = &Violation{Invariant: broken}
			for at := i; at > 0; at = origins[at].state {
				found.Steps = append([]string{origins[at].action.String()}, found.Steps...)
			}
			return len(all), found
		}
		w.steps(all[i], func(a action, next State) {
			if _, known := seen[next]; known {
				return
			}
			seen[next] = struct{}{}
			all, origins = append(all, next), append(origins, origin{i, a})
		})
	}
	return len(all), nil
}
