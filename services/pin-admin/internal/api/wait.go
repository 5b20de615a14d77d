package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

var (
	errNotSet    = fault.New(fault.NotFound, "pin-not-set", "No PIN is set")
	errNotLinked = fault.New(fault.Unauthenticated, "missing-linked-identity", "The signed-in user is not a customer")
)

// AwaitMyPIN answers when the signed-in user has a PIN, or when the wait is over.
func (a *API) AwaitMyPIN(ctx context.Context, r gen.AwaitMyPINRequestObject) (gen.AwaitMyPINResponseObject, error) {
	customer, err := a.Directory.CustomerOf(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return nil, errNotLinked
	}
	if err != nil {
		return nil, err
	}
	var patience time.Duration
	if r.Params.Timeout != nil {
		patience = time.Duration(*r.Params.Timeout) * time.Second
	}
	set, err := a.Waiting.Wait(ctx, customer, patience)
	switch {
	case err != nil:
		return nil, err
	case !set:
		return nil, errNotSet
	}
	return gen.AwaitMyPIN200Response{}, nil
}

// longestWait is the longest timeout that may be asked for, and the time to answer.
const longestWait = 75 * time.Second

// patient lifts the deadlines that every other request is held to: the server would take the silence of a waiting client
// for a broken connection.
func patient(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		connection := http.NewResponseController(c.Response())
		if err := errors.Join(connection.SetReadDeadline(time.Time{}), connection.SetWriteDeadline(time.Now().Add(longestWait))); err != nil {
			return fmt.Errorf("preparing to wait: %w", err)
		}
		return next(c)
	}
}
