package api

import (
	"context"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// GetProfile answers who is signed in.
func (a *API) GetProfile(ctx context.Context, _ gen.GetProfileRequestObject) (gen.GetProfileResponseObject, error) {
	p, err := a.Accounts.Profile(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	return gen.GetProfile200JSONResponse{
		ID: p.ID, Email: p.Email, FullName: p.FullName, AvatarURL: p.AvatarURL, Phone: p.Phone,
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}, nil
}
