package api

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

var errNoCustomer = fault.New(fault.Conflict, "no_customer", "The signed-in user is not a customer")

// GetMyPIN returns the state of the signed-in user's PIN. A user who is not a customer has no PIN.
func (a *API) GetMyPIN(ctx context.Context, _ gen.GetMyPINRequestObject) (gen.GetMyPINResponseObject, error) {
	customer, err := a.Directory.CustomerByEmail(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return gen.GetMyPIN200JSONResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	status, err := a.PINs.Status(ctx, pin.Holder{CustomerID: customer})
	if err != nil {
		return nil, err
	}
	return gen.GetMyPIN200JSONResponse{StatusJSONResponse: gen.StatusJSONResponse(status)}, nil
}

// SetMyPIN sets or replaces the signed-in user's PIN.
func (a *API) SetMyPIN(ctx context.Context, r gen.SetMyPINRequestObject) (gen.SetMyPINResponseObject, error) {
	if err := pin.Check(r.Body.PIN); err != nil {
		return nil, err // a weak PIN must not cost an attempt
	}
	holder, by, err := a.authorizeMine(ctx, r.Body.CurrentPIN)
	if err != nil {
		return nil, err
	}
	status, err := a.PINs.Set(ctx, caller.From(ctx).ID, holder, r.Body.PIN, by)
	if err != nil {
		return nil, err
	}
	a.Waiting.Announce(ctx, holder.CustomerID)
	return gen.SetMyPIN200JSONResponse{StatusJSONResponse: gen.StatusJSONResponse(status)}, nil
}

// RemoveMyPIN removes the signed-in user's PIN.
func (a *API) RemoveMyPIN(ctx context.Context, r gen.RemoveMyPINRequestObject) (gen.RemoveMyPINResponseObject, error) {
	var current *pin.PIN
	if r.Body != nil {
		current = r.Body.CurrentPIN
	}
	holder, by, err := a.authorizeMine(ctx, current)
	if err != nil {
		return nil, err
	}
	if err := a.PINs.Remove(ctx, holder, by); err != nil {
		return nil, err
	}
	return gen.RemoveMyPIN204Response{}, nil
}

// authorizeMine returns the signed-in user as a holder, and the authority to change its PIN. The proof is the current PIN, or a
// sign-in or step-up within the last 5 minutes. If no PIN is set, the current PIN proves nothing.
func (a *API) authorizeMine(ctx context.Context, current *pin.PIN) (pin.Holder, pin.Authority, error) {
	customer, err := a.Directory.CustomerByEmail(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return pin.Holder{}, pin.Authority{}, errNoCustomer
	}
	if err != nil {
		return pin.Holder{}, pin.Authority{}, err
	}
	holder := pin.Holder{CustomerID: customer}
	if current != nil {
		by, err := a.Verifier.AuthorizeCustomer(ctx, caller.From(ctx).ID, customer, *current)
		if !errors.Is(err, pin.ErrNotSet) {
			return holder, by, err
		}
	}
	return holder, pin.ByCustomer, caller.RequireFresh(ctx)
}
