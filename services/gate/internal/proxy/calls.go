package proxy

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// calls are the calls that the judge decides about now, so that the client can cancel them. Only calls in a session are here: without
// one, two clients of a subject may use the same id.
type calls struct {
	mu      sync.Mutex
	running map[string]func()
}

func callKey(x exchange, id json.RawMessage) string {
	return x.subject + "\x00" + x.session.ID + "\x00" + message.IDKey(id)
}

// begin returns the context of a call. It returns false if a call with this id runs in the session. end reports whether the client
// cancelled the call before.
func (c *calls) begin(ctx context.Context, x exchange, id json.RawMessage) (_ context.Context, end func() (cancelled bool), ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	if x.session.ID == "" {
		return ctx, func() bool { cancel(); return false }, true
	}
	key, cancelled := callKey(x, id), false
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.running[key]; found {
		cancel()
		return nil, nil, false
	}
	c.running[key] = func() { cancelled = true; cancel() }
	return ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, key)
		cancel()
		return cancelled
	}, true
}

// cancel ends the call that a notification names. It returns false if the judge does not decide about it now; then the notification is
// for the server.
func (c *calls) cancel(x exchange, m message.Message) bool {
	var params struct {
		ID json.RawMessage `json:"requestId"`
	}
	if m.ID != nil || json.Unmarshal(m.Params, &params) != nil || params.ID == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	cancel, found := c.running[callKey(x, params.ID)]
	if found {
		cancel()
	}
	return found
}
