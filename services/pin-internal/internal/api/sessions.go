package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// IntrospectSession answers whether a session is active, and whose it is.
func (a *API) IntrospectSession(ctx context.Context, r gen.IntrospectSessionRequestObject) (gen.IntrospectSessionResponseObject, error) {
	found := a.Sessions.Store.Find(ctx, r.Body.SessionToken.Reveal())
	if found == nil {
		return gen.IntrospectSession200JSONResponse{}, nil
	}
	var identity *uuid.UUID
	if found.IdentityID.Valid {
		identity = &found.IdentityID.UUID
	}
	resolved, err := a.Verifier.Resolve(ctx, caller.From(ctx).Key, subject(r.InstanceID, &found.CustomerID, identity), found, nil)
	if errors.Is(err, pin.ErrNotWithin) {
		return gen.IntrospectSession200JSONResponse{}, nil // the session's customer or identity is not, or no longer, within the instance
	}
	if err != nil {
		return nil, err
	}
	if !resolved.Accepts(found) {
		return gen.IntrospectSession200JSONResponse{}, nil
	}
	end := found.ExpiresAt(resolved.TTL())
	return gen.IntrospectSession200JSONResponse{Active: true, CustomerID: &found.CustomerID, IdentityID: identity, ExpiresAt: &end}, nil
}

// RevokeSession ends a session of the instance.
func (a *API) RevokeSession(ctx context.Context, r gen.RevokeSessionRequestObject) (gen.RevokeSessionResponseObject, error) {
	if err := a.Sessions.Revoke(ctx, r.InstanceID, r.Body.SessionToken.Reveal()); err != nil {
		return nil, err
	}
	return gen.RevokeSession204Response{}, nil
}
