package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// errNoCustomer says that there is nobody whose PIN it could be.
var errNoCustomer = fault.New(fault.Conflict, "no_customer", "The signed-in user is not a customer")

// GetMyPIN tells the signed-in user whether they have a PIN. A user who is no customer has none.
func (a *API) GetMyPIN(ctx context.Context, _ gen.GetMyPINRequestObject) (gen.GetMyPINResponseObject, error) {
	customer, err := a.Directory.CustomerOf(ctx, caller.From(ctx).Email)
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

// SetMyPIN sets the signed-in user's PIN, in the place of the one there may be.
func (a *API) SetMyPIN(ctx context.Context, r gen.SetMyPINRequestObject) (gen.SetMyPINResponseObject, error) {
	if err := pin.Check(r.Body.PIN); err != nil {
		return nil, err // before an attempt is spent for it
	}
	mine, by, err := a.mayChangeMine(ctx, r.Body.CurrentPIN)
	if err != nil {
		return nil, err
	}
	status, err := a.PINs.Set(ctx, uuid.Nil, mine, r.Body.PIN, by)
	if err != nil {
		return nil, err
	}
	a.Waiting.Announce(ctx, mine.CustomerID)
	return gen.SetMyPIN200JSONResponse{StatusJSONResponse: gen.StatusJSONResponse(status)}, nil
}

// RemoveMyPIN removes the signed-in user's PIN.
func (a *API) RemoveMyPIN(ctx context.Context, r gen.RemoveMyPINRequestObject) (gen.RemoveMyPINResponseObject, error) {
	var current *pin.PIN
	if r.Body != nil {
		current = r.Body.CurrentPIN
	}
	mine, by, err := a.mayChangeMine(ctx, current)
	if err != nil {
		return nil, err
	}
	if err := a.PINs.Remove(ctx, mine, by); err != nil {
		return nil, err
	}
	return gen.RemoveMyPIN204Response{}, nil
}

// mayChangeMine returns the holder that the signed-in user is, and the right to change the PIN: by the current one, or by a
// sign-in of the last 5 minutes. A current PIN that there is not proves nothing.
func (a *API) mayChangeMine(ctx context.Context, current *pin.PIN) (pin.Holder, pin.Authority, error) {
	customer, err := a.Directory.CustomerOf(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return pin.Holder{}, pin.Authority{}, errNoCustomer
	}
	if err != nil {
		return pin.Holder{}, pin.Authority{}, err
	}
	mine := pin.Holder{CustomerID: customer}
	if current != nil {
		by, err := a.Verifier.AuthorizeCustomer(ctx, customer, *current)
		if !errors.Is(err, pin.ErrNotSet) {
			return mine, by, err
		}
	}
	return mine, pin.ByCustomer, caller.RequireFresh(ctx)
}
