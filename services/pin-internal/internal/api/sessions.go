package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// IntrospectSession says whether a session still counts, to an agent that hands it to a tool server.
func (a *API) IntrospectSession(ctx context.Context, r gen.IntrospectSessionRequestObject) (gen.IntrospectSessionResponseObject, error) {
	x := a.Sessions.Find(ctx, r.Body.SessionToken.Reveal())
	if x == nil {
		return gen.IntrospectSession200JSONResponse{}, nil
	}
	var identity *uuid.UUID
	if x.IdentityID.Valid {
		identity = &x.IdentityID.UUID
	}
	resolved, err := a.Verifier.Resolve(ctx, caller.From(ctx).Key, subject(r.InstanceID, &x.CustomerID, identity))
	if errors.Is(err, pin.ErrNotWithin) {
		return gen.IntrospectSession200JSONResponse{}, nil // the subject left the instance, or never was in it
	}
	if err != nil {
		return nil, err
	}
	if !resolved.Accepts(x) {
		return gen.IntrospectSession200JSONResponse{}, nil
	}
	end := x.ExpiresAt(resolved.TTL())
	return gen.IntrospectSession200JSONResponse{Active: true, CustomerID: &x.CustomerID, IdentityID: identity, ExpiresAt: &end}, nil
}

// RevokeSession ends a session of the instance.
func (a *API) RevokeSession(ctx context.Context, r gen.RevokeSessionRequestObject) (gen.RevokeSessionResponseObject, error) {
	if err := a.Sessions.Delete(ctx, r.InstanceID, r.Body.SessionToken.Reveal()); err != nil {
		return nil, err
	}
	return gen.RevokeSession204Response{}, nil
}
