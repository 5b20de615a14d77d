package model

import "fmt"

// space is a set of states, with the steps between them. World and Approvals are spaces.
type space[S comparable] interface {
	start() S
	// steps calls visit for every state that one step can reach.
	steps(from S, visit func(step fmt.Stringer, next S))
	// violated returns the first invariant that is false in a state, or 0.
	violated(S) Invariant
}

// Violation is a reachable state in which an invariant is false.
type Violation struct {
	Invariant Invariant
	// Steps is the shortest sequence of steps that reaches the state.
	Steps []string
}

// Explore visits every reachable state of a holder's budget. It returns the number of states, and the first violation, or nil.
func (w World) Explore() (states int, found *Violation) { return explore[State](w) }

// Explore visits every reachable state of a holder's budget and approvals.
func (w Approvals) Explore() (states int, found *Violation) { return explore[ApprovalsState](w) }

// explore visits the states in the order of the number of steps.
func explore[S comparable](w space[S]) (states int, found *Violation) {
	type origin struct {
		state int
		step  fmt.Stringer
	}
	first := w.start()
	all, origins, seen := []S{first}, []origin{{}}, map[S]struct{}{first: {}}
	for i := 0; i < len(all); i++ {
		if broken := w.violated(all[i]); broken != 0 {
			found = &Violation{Invariant: broken}
			for at := i; at > 0; at = origins[at].state {
				found.Steps = append([]string{origins[at].step.String()}, found.Steps...)
			}
			return len(all), found
		}
		w.steps(all[i], func(step fmt.Stringer, next S) {
			if _, known := seen[next]; known {
				return
			}
			seen[next] = struct{}{}
			all, origins = append(all, next), append(origins, origin{i, step})
		})
	}
	return len(all), nil
}

// attemptStep is one step of an attempt.
type attemptStep struct {
	attempt int
	// link is the number of the approval at whose link the PIN is given. It is 0 for a verification without an approval.
	link  uint8
	phase phase
	right bool
}

var phaseNames = [...]string{resolved: "is resolved", charged: "is charged, with a wrong candidate",
	compared: "is compared", confirmed: "is settled as right, if that is still allowed", finished: "writes the approval"}

func (a attemptStep) String() string {
	name, link := phaseNames[a.phase], ""
	if a.right {
		name = "is charged, with the right candidate"
	}
	if a.link > 0 {
		link = fmt.Sprintf(" at the link of approval %d,", a.link)
	}
	return fmt.Sprintf("attempt %d,%s at replica %d, %s", a.attempt+1, link, a.attempt%2+1, name)
}
