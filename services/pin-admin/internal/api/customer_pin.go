package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// GetCustomerPIN returns the state of a customer's PIN.
func (a *API) GetCustomerPIN(ctx context.Context, r gen.GetCustomerPINRequestObject) (gen.GetCustomerPINResponseObject, error) {
	status, err := a.status(ctx, pin.Holder{CustomerID: r.CustomerID})
	if err != nil {
		return nil, err
	}
	return gen.GetCustomerPIN200JSONResponse{StatusJSONResponse: status}, nil
}

// SetCustomerPIN sets or replaces a customer's PIN.
func (a *API) SetCustomerPIN(ctx context.Context, r gen.SetCustomerPINRequestObject) (gen.SetCustomerPINResponseObject, error) {
	status, err := a.set(ctx, pin.Holder{CustomerID: r.CustomerID}, r.Body.PIN)
	if err != nil {
		return nil, err
	}
	return gen.SetCustomerPIN200JSONResponse{StatusJSONResponse: status}, nil
}

// RemoveCustomerPIN removes a customer's PIN.
func (a *API) RemoveCustomerPIN(ctx context.Context, r gen.RemoveCustomerPINRequestObject) (gen.RemoveCustomerPINResponseObject, error) {
	if err := a.remove(ctx, pin.Holder{CustomerID: r.CustomerID}); err != nil {
		return nil, err
	}
	return gen.RemoveCustomerPIN204Response{}, nil
}

// UnlockCustomerPIN ends the lock of a customer's PIN.
func (a *API) UnlockCustomerPIN(ctx context.Context, r gen.UnlockCustomerPINRequestObject) (gen.UnlockCustomerPINResponseObject, error) {
	status, err := a.unlock(ctx, pin.Holder{CustomerID: r.CustomerID})
	if err != nil {
		return nil, err
	}
	return gen.UnlockCustomerPIN200JSONResponse{StatusJSONResponse: status}, nil
}

// admins is the tenant of the hashing pool for all admins and API keys. Each customer who changes their own PIN is another tenant,
// so a customer cannot use the places that an admin needs.
var admins = uuid.Nil

// status, set, remove and unlock are the same for customers and identities. They return an error if the holder does not exist.
func (a *API) status(ctx context.Context, h pin.Holder) (gen.StatusJSONResponse, error) {
	if err := a.exists(ctx, h); err != nil {
		return gen.StatusJSONResponse{}, err
	}
	status, err := a.PINs.Status(ctx, h)
	return gen.StatusJSONResponse(status), err
}

func (a *API) set(ctx context.Context, h pin.Holder, p pin.PIN) (gen.StatusJSONResponse, error) {
	if err := a.exists(ctx, h); err != nil {
		return gen.StatusJSONResponse{}, err
	}
	status, err := a.PINs.Set(ctx, admins, h, p, pin.ByAdmin)
	if err == nil && !h.IdentityID.Valid {
		a.Waiting.Announce(ctx, h.CustomerID)
	}
	return gen.StatusJSONResponse(status), err
}

func (a *API) remove(ctx context.Context, h pin.Holder) error {
	if err := a.exists(ctx, h); err != nil {
		return err
	}
	return a.PINs.Remove(ctx, h, pin.ByAdmin)
}

func (a *API) unlock(ctx context.Context, h pin.Holder) (gen.StatusJSONResponse, error) {
	if err := a.exists(ctx, h); err != nil {
		return gen.StatusJSONResponse{}, err
	}
	status, err := a.PINs.Unlock(ctx, h)
	return gen.StatusJSONResponse(status), err
}

func (a *API) exists(ctx context.Context, h pin.Holder) error {
	if h.IdentityID.Valid {
		return a.Directory.HasIdentity(ctx, h.CustomerID, h.IdentityID.UUID)
	}
	return a.Directory.HasCustomer(ctx, h.CustomerID)
}
