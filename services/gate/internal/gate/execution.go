package gate

import (
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

// execution is an approved call.
type execution struct {
	arguments string
	receipt   client.Secret
}

// executions keeps the approved calls that the server answered with a request for inputs.
type executions struct {
	mu     sync.Mutex
	values map[string]keptExecution
	purged time.Time
}

type keptExecution struct {
	execution
	until time.Time
}

func (e *executions) put(id string, approved execution, until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.purged) > time.Minute {
		e.purged = now
		for id, kept := range e.values {
			if now.After(kept.until) {
				delete(e.values, id)
			}
		}
	}
	e.values[id] = keptExecution{approved, until}
}

// take removes an execution and returns it.
func (e *executions) take(id string) (execution, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	kept, found := e.values[id]
	delete(e.values, id)
	return kept.execution, found && time.Now().Before(kept.until)
}
