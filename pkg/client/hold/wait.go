package hold

import (
	"context"
	"sync"

	"github.com/countersign/countersign/pkg/client"
)

// waits lets all calls that wait for the same approval share one request to Countersign. Otherwise a model that repeats a call many
// times would use up the connections.
type waits struct {
	mu      sync.Mutex
	running map[string]*wait // by the id of the approval
}

// wait is one request. It ends when the person has answered, or when no call waits any more.
type wait struct {
	calls    int
	cancel   context.CancelFunc
	done     chan struct{} // closed when approval and err are set
	approval client.Approval
	err      error
}

// wait returns the approval when it is no longer pending, or an error when ctx ends.
func (h *Holder) wait(ctx context.Context, id string) (client.Approval, error) {
	w := h.join(ctx, id)
	defer h.leave(id, w)
	select {
	case <-w.done:
		return w.approval, w.err
	case <-ctx.Done():
		return client.Approval{}, ctx.Err()
	}
}

func (h *Holder) join(ctx context.Context, id string) *wait {
	h.waits.mu.Lock()
	defer h.waits.mu.Unlock()
	if w, found := h.waits.running[id]; found {
		w.calls++
		return w
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the other calls still wait when this one ends
	w := &wait{calls: 1, cancel: cancel, done: make(chan struct{})}
	h.waits.running[id] = w
	go func() {
		w.approval, w.err = h.client.Wait(ctx, id)
		h.waits.mu.Lock()
		h.waits.remove(id, w)
		h.waits.mu.Unlock()
		close(w.done)
	}()
	return w
}

func (h *Holder) leave(id string, w *wait) {
	h.waits.mu.Lock()
	defer h.waits.mu.Unlock()
	if w.calls--; w.calls == 0 {
		h.waits.remove(id, w)
		w.cancel()
	}
}

// remove makes the next call start a request of its own: nobody may join a request that has ended. The caller holds the lock.
func (w *waits) remove(id string, ended *wait) {
	if w.running[id] == ended {
		delete(w.running, id)
	}
}
