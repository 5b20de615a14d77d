package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// GetIdentityPIN returns the state of an identity's own PIN.
func (a *API) GetIdentityPIN(ctx context.Context, r gen.GetIdentityPINRequestObject) (gen.GetIdentityPINResponseObject, error) {
	status, err := a.status(ctx, identityHolder(r.CustomerID, r.IdentityID))
	if err != nil {
		return nil, err
	}
	return gen.GetIdentityPIN200JSONResponse{StatusJSONResponse: status}, nil
}

// SetIdentityPIN sets or replaces an identity's own PIN.
func (a *API) SetIdentityPIN(ctx context.Context, r gen.SetIdentityPINRequestObject) (gen.SetIdentityPINResponseObject, error) {
	status, err := a.set(ctx, identityHolder(r.CustomerID, r.IdentityID), r.Body.PIN)
	if err != nil {
		return nil, err
	}
	return gen.SetIdentityPIN200JSONResponse{StatusJSONResponse: status}, nil
}

// RemoveIdentityPIN removes an identity's own PIN. From then on the customer's PIN applies.
func (a *API) RemoveIdentityPIN(ctx context.Context, r gen.RemoveIdentityPINRequestObject) (gen.RemoveIdentityPINResponseObject, error) {
	if err := a.remove(ctx, identityHolder(r.CustomerID, r.IdentityID)); err != nil {
		return nil, err
	}
	return gen.RemoveIdentityPIN204Response{}, nil
}

// UnlockIdentityPIN ends the lock of an identity's own PIN.
func (a *API) UnlockIdentityPIN(ctx context.Context, r gen.UnlockIdentityPINRequestObject) (gen.UnlockIdentityPINResponseObject, error) {
	status, err := a.unlock(ctx, identityHolder(r.CustomerID, r.IdentityID))
	if err != nil {
		return nil, err
	}
	return gen.UnlockIdentityPIN200JSONResponse{StatusJSONResponse: status}, nil
}

func identityHolder(customer, identity uuid.UUID) pin.Holder {
	return pin.Holder{CustomerID: customer, IdentityID: uuid.NullUUID{UUID: identity, Valid: true}}
}
