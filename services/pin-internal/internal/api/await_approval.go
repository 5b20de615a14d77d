package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/wakeup"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// errTooManyWaiting means that too many requests wait for one approval or for the approvals of one instance, at this replica.
var errTooManyWaiting = fault.New(fault.RateLimited, "too_many_waiting", "Too many requests wait for approvals").RetryAfter(5 * time.Second)

// GetApproval returns an approval. With wait, it answers as soon as the approval is no longer pending, or after the wait.
func (a *API) GetApproval(ctx context.Context, r gen.GetApprovalRequestObject) (gen.GetApprovalResponseObject, error) {
	var waiter *wakeup.Waiter
	var wait time.Duration
	if r.Params.Wait != nil && *r.Params.Wait > 0 {
		wait = time.Duration(*r.Params.Wait) * time.Second
		var err error
		if waiter, err = a.Answers.Join(r.ApprovalID, r.InstanceID); err != nil {
			return nil, errTooManyWaiting
		}
	}
	row, err := approval.Get(ctx, a.DB, r.InstanceID, r.ApprovalID)
	if err == nil && row.Status == approval.Pending && waiter != nil {
		return longPoll{a, waiter, min(wait, row.ExpiresAt.Sub(row.At)), r.InstanceID, r.ApprovalID, caller.From(ctx).RequestID}, nil
	}
	if waiter != nil {
		waiter.Leave()
	}
	if err != nil {
		return nil, err
	}
	shown, err := a.approval(row)
	return gen.GetApproval200JSONResponse(shown), err
}

// longPoll is the answer to a request that waits. It takes the connection over from the HTTP server, because a request that waits
// inside the server needs several times the memory (docs/decisions/0007-long-poll-outside-the-server.md).
type longPoll struct {
	api          *API
	waiter       *wakeup.Waiter
	wait         time.Duration
	instance, id uuid.UUID
	requestID    string
}

func (p longPoll) VisitGetApprovalResponse(w http.ResponseWriter) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.waiter.Leave()
		return fmt.Errorf("taking over the connection of a long poll: %w", err)
	}
	return &web.Later{Answer: func() (int, error) { return p.answer(conn) }}
}

// answer waits, reads the approval again, writes the answer, closes the connection and returns the status.
func (p longPoll) answer(conn net.Conn) (int, error) {
	defer p.waiter.Leave()
	defer conn.Close()
	if _, err := p.waiter.Wait(conn, p.wait); err != nil {
		return web.StatusClientClosed, nil
	}
	row, err := p.read()
	var shown gen.Approval
	if err == nil {
		shown, err = p.api.approval(row)
	}
	if err != nil {
		return web.LaterError(err, stores.Unavailable).Write(conn, p.requestID), err
	}
	return web.LaterAnswer{Status: http.StatusOK, Body: shown}.Write(conn, p.requestID), nil
}

// read reads the approval again. While Postgres is restarting, it tries for some seconds, because the client has waited for longer.
func (p longPoll) read() (row approval.Row, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), stores.AnswerTimeout)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		row, err = approval.Get(ctx, p.api.DB, p.instance, p.id)
		if !stores.Unavailable(err) {
			return row, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return row, err
		}
	}
}
