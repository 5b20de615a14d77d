package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// SetIdentityPIN sets the PIN of an identity. From then on it applies instead of the customer's PIN.
func (a *API) SetIdentityPIN(ctx context.Context, r gen.SetIdentityPINRequestObject) (gen.SetIdentityPINResponseObject, error) {
	holder, by, err := a.authorizeChange(ctx, r.InstanceID, r.IdentityID, &r.Body.PIN, r.Body.CurrentPIN, r.Params.XPinSession)
	if err != nil {
		return nil, err
	}
	status, err := a.PINs.Set(ctx, r.InstanceID, holder, r.Body.PIN, by)
	if err != nil {
		return nil, err
	}
	return gen.SetIdentityPIN200JSONResponse(status), nil
}

// RemoveIdentityPIN removes the PIN of an identity. From then on the customer's PIN applies.
func (a *API) RemoveIdentityPIN(ctx context.Context, r gen.RemoveIdentityPINRequestObject) (gen.RemoveIdentityPINResponseObject, error) {
	var current *pin.PIN
	if r.Body != nil {
		current = r.Body.CurrentPIN
	}
	holder, by, err := a.authorizeChange(ctx, r.InstanceID, r.IdentityID, nil, current, r.Params.XPinSession)
	if err != nil {
		return nil, err
	}
	if err := a.PINs.Remove(ctx, holder, by); err != nil {
		return nil, err
	}
	return gen.RemoveIdentityPIN204Response{}, nil
}

// authorizeChange returns the holder of an identity's PIN and the authority to change it. next is the new PIN, or nil for a
// removal. It returns an error if the instance takes PINs only on a page, if the new PIN is weak, if the request contains a proof
// (the current PIN or a session) that is not valid, or no proof although the instance's policy requires one.
func (a *API) authorizeChange(ctx context.Context, instance, identity uuid.UUID, next, current *pin.PIN, header *secret.Text) (pin.Holder, pin.Authority, error) {
	customer, err := a.Directory.CustomerOfIdentity(ctx, instance, identity)
	if err != nil {
		return pin.Holder{}, pin.Authority{}, err
	}
	presented := a.presented(ctx, header)
	if presented == nil && header != nil {
		presented = &session.Session{}
	}
	by, err := a.Verifier.AuthorizeAgent(ctx, caller.From(ctx).Key, subject(instance, nil, &identity), next, current, presented)
	return pin.Holder{CustomerID: customer, IdentityID: uuid.NullUUID{UUID: identity, Valid: true}}, by, err
}
