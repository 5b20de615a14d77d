package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
	"github.com/countersign/countersign/services/pin-admin/internal/wakeup"
)

var (
	errNotSet    = fault.New(fault.NotFound, "pin-not-set", "No PIN is set")
	errNotLinked = fault.New(fault.Unauthenticated, "missing-linked-identity", "The signed-in user is not a customer")
)

// AwaitMyPIN answers when the signed-in user has a PIN, or when the wait is over.
func (a *API) AwaitMyPIN(ctx context.Context, r gen.AwaitMyPINRequestObject) (gen.AwaitMyPINResponseObject, error) {
	who := caller.From(ctx)
	customer, err := a.Directory.CustomerOf(ctx, who.Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return nil, errNotLinked
	}
	if err != nil {
		return nil, err
	}
	set, err := a.Waiting.IsSet(ctx, customer)
	switch {
	case err != nil:
		return nil, err
	case set:
		return gen.AwaitMyPIN200Response{}, nil
	case r.Params.Timeout == nil:
		return nil, errNotSet
	}
	return parked{a.Waiting, customer, time.Duration(*r.Params.Timeout) * time.Second, who.RequestID}, nil
}

// parked is the response to who waits: their connection, out of the server's hands.
type parked struct {
	board     *wakeup.Board
	customer  uuid.UUID
	patience  time.Duration
	requestID string
}

// VisitAwaitMyPINResponse parks the connection. The error that it returns says that the answer comes later.
func (p parked) VisitAwaitMyPINResponse(w http.ResponseWriter) error {
	answer := func(set bool) []byte {
		if set {
			return web.Whole(p.requestID, nil)
		}
		return web.Whole(p.requestID, errNotSet)
	}
	var later web.Later
	statuses := map[wakeup.End]int{wakeup.Set: http.StatusOK, wakeup.Unset: http.StatusNotFound, wakeup.Gone: web.StatusGone}
	answered := func(how wakeup.End) { later.Answered(statuses[how]) }
	if err := p.board.Park(w, p.customer, p.patience, answer, answered); err != nil {
		return err
	}
	return &later
}
