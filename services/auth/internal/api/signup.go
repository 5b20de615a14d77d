package api

import (
	"context"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// Signup registers an address and mails a confirmation link.
func (a *API) Signup(ctx context.Context, request gen.SignupRequestObject) (gen.SignupResponseObject, error) {
	email, err := directory.ParseEmail(request.Body.Email)
	if err != nil {
		return nil, err
	}
	user, err := a.Accounts.Signup(ctx, email, request.Body.Password)
	if err != nil {
		return nil, err
	}
	return gen.Signup200JSONResponse{Success: true, User: sessionUser(user)}, nil
}
