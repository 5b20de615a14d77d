package api

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// RequestNewEmail mails a link to the caller's new address. The caller must have proved the session within the last 5 minutes.
func (a *API) RequestNewEmail(ctx context.Context, request gen.RequestNewEmailRequestObject) (gen.RequestNewEmailResponseObject, error) {
	if err := caller.RequireFresh(ctx); err != nil {
		return nil, err
	}
	email, err := directory.ParseEmail(request.Body.Email)
	if err != nil {
		return nil, err
	}
	if err := a.Accounts.RequestAddress(ctx, email); err != nil {
		return nil, err
	}
	return gen.RequestNewEmail200JSONResponse{Success: true, Message: "If this address can be used, a mail to it is on its way"}, nil
}

// ConfirmNewEmail changes a user's address with the token of a link.
func (a *API) ConfirmNewEmail(ctx context.Context, request gen.ConfirmNewEmailRequestObject) (gen.ConfirmNewEmailResponseObject, error) {
	switch err := a.Accounts.ConfirmAddress(ctx, request.Body.Token); {
	case errors.Is(err, account.ErrLink):
		return gen.ConfirmNewEmail401JSONResponse{
			Body:    gen.Outcome{Message: account.ErrLink.Text},
			Headers: gen.ConfirmNewEmail401ResponseHeaders{WWWAuthenticate: "Bearer", XErrorCode: account.ErrLink.Code},
		}, nil
	case errors.Is(err, account.ErrAddressUsed):
		return gen.ConfirmNewEmail409JSONResponse{
			Body:    gen.Outcome{Message: account.ErrAddressUsed.Text},
			Headers: gen.ConfirmNewEmail409ResponseHeaders{XErrorCode: account.ErrAddressUsed.Code},
		}, nil
	case err != nil:
		return nil, err
	}
	return gen.ConfirmNewEmail200JSONResponse{Success: true, Message: "Your email address is changed. Sign in with the new address."}, nil
}
