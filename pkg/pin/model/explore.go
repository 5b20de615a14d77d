package model

import "fmt"

// action is one step, for people to read.
type action struct {
	attempt  int
	what     phase
	event    event
	right    bool
	happened bool
}

var phaseNames = [...]string{resolved: "is resolved", counted: "is counted in Redis", charged: "is charged, wrong",
	compared: "is compared, a lock mirrored in Redis", remembered: "is settled as right, if it still may"}

func (a action) String() string {
	if a.happened {
		return eventNames[a.event]
	}
	what := phaseNames[a.what]
	if a.right {
		what = "is charged, right"
	}
	return fmt.Sprintf("attempt %d, at replica %d, %s", a.attempt+1, a.attempt%2+1, what)
}

// Finding is a state in which an invariant is not true, and the shortest way there.
type Finding struct {
	Invariant Invariant
	Way       []string
}

// Explore looks at every state that can be reached, nearest first. It returns how many there are, and what it found at
// the first one in which an invariant is not true; nil when there is none.
func (w World) Explore() (states int, found *Finding) {
	type from struct {
		state  int
		action action
	}
	all, ways, seen := []State{start()}, []from{{}}, map[State]struct{}{start(): {}}
	for i := 0; i < len(all); i++ {
		if broken := w.violated(all[i]); broken != 0 {
			found = &Finding{Invariant: broken}
			for at := i; at > 0; at = ways[at].state {
				found.Way = append([]string{ways[at].action.String()}, found.Way...)
			}
			return len(all), found
		}
		w.steps(all[i], func(a action, next State) {
			if _, known := seen[next]; known {
				return
			}
			seen[next] = struct{}{}
			all, ways = append(all, next), append(ways, from{i, a})
		})
	}
	return len(all), nil
}
