package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/wakeup"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

var (
	errNotSet    = fault.New(fault.NotFound, "pin-not-set", "No PIN is set")
	errNotLinked = fault.New(fault.Unauthenticated, "missing-linked-identity", "The signed-in user is not a customer")
	// A place becomes free when another request is answered.
	errTooManyWaiting = fault.New(fault.RateLimited, "too-many-waiting", "Too many requests of this user are waiting").RetryAfter(5 * time.Second)
)

// AwaitMyPIN answers as soon as the signed-in user has a PIN, or after the timeout that the request names.
func (a *API) AwaitMyPIN(ctx context.Context, r gen.AwaitMyPINRequestObject) (gen.AwaitMyPINResponseObject, error) {
	who := caller.From(ctx)
	customer, err := a.Directory.CustomerByEmail(ctx, who.Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return nil, errNotLinked
	}
	if err != nil {
		return nil, err
	}
	var waiter *wakeup.Waiter
	if r.Params.Timeout != nil {
		if waiter, err = a.Waiting.Join(customer, uuid.Nil); err != nil {
			return nil, errTooManyWaiting
		}
	}
	set, err := a.Waiting.Ended(ctx, customer)
	if err == nil && !set && waiter != nil {
		return longPoll{waiter, time.Duration(*r.Params.Timeout) * time.Second, who.RequestID}, nil
	}
	if waiter != nil {
		waiter.Leave()
	}
	switch {
	case err != nil:
		return nil, err
	case !set:
		return nil, errNotSet
	}
	return gen.AwaitMyPIN200Response{}, nil
}

// longPoll is the answer to a request that waits. It takes the connection over from the HTTP server, because a request that
// waits inside the server needs several times the memory (docs/decisions/0007-long-poll-outside-the-server.md).
type longPoll struct {
	waiter    *wakeup.Waiter
	timeout   time.Duration
	requestID string
}

func (p longPoll) VisitAwaitMyPINResponse(w http.ResponseWriter) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.waiter.Leave()
		return fmt.Errorf("taking over the connection of a long poll: %w", err)
	}
	return &web.Later{Answer: func() (int, error) { return p.answer(conn) }}
}

// answer waits, writes the answer, closes the connection and returns the status.
func (p longPoll) answer(conn net.Conn) (int, error) {
	defer p.waiter.Leave()
	defer conn.Close()
	set, err := p.waiter.Wait(conn, p.timeout)
	if err != nil {
		return web.StatusClientClosed, nil
	}
	return p.response(set).Write(conn, p.requestID), nil
}

func (p longPoll) response(set bool) web.LaterAnswer {
	if set {
		return web.LaterAnswer{Status: http.StatusOK}
	}
	answer := web.ErrorAnswer{Status: http.StatusNotFound, Code: errNotSet.Code, Text: errNotSet.Text}
	header := http.Header{"Content-Type": {jsonAPIType}, web.ErrorCodeHeader: {errNotSet.Code}}
	return web.LaterAnswer{Status: answer.Status, Header: header, Body: jsonAPIErrors(p.requestID, answer)}
}
