package approval

import (
	"context"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/fault"
)

// errBusy means that too many requests about one customer wait. Nothing was asked.
var errBusy = fault.New(fault.Unavailable, "approvals_busy", "Too many requests about this customer at once. Nothing was asked, try again").RetryAfter(time.Second)

// turns lets one request of this process at a time ask for approvals of one customer at one instance. Postgres lets them wait for
// each other too, but there each waiting request occupies a connection, which other people need.
type turns struct {
	mu     sync.Mutex
	queues map[string]*queue
}

// queue is the requests about one customer at one instance. turns.mu guards length.
type queue struct {
	turn   chan struct{}
	length int
}

// take waits for the caller's turn until ctx ends. The caller must call end. The error is errBusy.
func (t *turns) take(ctx context.Context, name string) (end func(), err error) {
	q := t.join(name)
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; t.leave(name, q) }, nil
	case <-ctx.Done():
		t.leave(name, q)
		return nil, errBusy
	}
}

func (t *turns) join(name string) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues == nil {
		t.queues = map[string]*queue{}
	}
	q := t.queues[name]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1)}
		t.queues[name] = q
	}
	q.length++
	return q
}

func (t *turns) leave(name string, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.length--; q.length == 0 {
		delete(t.queues, name)
	}
}
