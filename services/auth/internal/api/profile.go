package api

import (
	"context"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// GetProfile returns the caller's profile.
func (a *API) GetProfile(ctx context.Context, _ gen.GetProfileRequestObject) (gen.GetProfileResponseObject, error) {
	p, err := a.Accounts.Profile(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	return gen.GetProfile200JSONResponse(p), nil
}

// ChangeProfile changes the given fields of the caller's profile.
func (a *API) ChangeProfile(ctx context.Context, r gen.ChangeProfileRequestObject) (gen.ChangeProfileResponseObject, error) {
	p, err := a.Accounts.ChangeProfile(ctx, caller.From(ctx).ID, account.ProfileChange{
		FullName: r.Body.FullName, AvatarURL: r.Body.AvatarURL, Phone: r.Body.Phone,
	})
	if err != nil {
		return nil, err
	}
	return gen.ChangeProfile200JSONResponse(p), nil
}
