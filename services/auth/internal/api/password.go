package api

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// ChangePassword replaces the caller's password.
func (a *API) ChangePassword(ctx context.Context, request gen.ChangePasswordRequestObject) (gen.ChangePasswordResponseObject, error) {
	if err := a.Passwords.Change(ctx, request.Body.CurrentPassword, request.Body.NewPassword); err != nil {
		return nil, err
	}
	return gen.ChangePassword200JSONResponse{"message": "The password was changed, and all other sessions have ended"}, nil
}

// ForgotPassword mails a link to choose a new password.
func (a *API) ForgotPassword(ctx context.Context, request gen.ForgotPasswordRequestObject) (gen.ForgotPasswordResponseObject, error) {
	email, err := directory.ParseEmail(request.Body.Email)
	if err != nil {
		return nil, err
	}
	if err := a.Accounts.Forgot(ctx, email); err != nil {
		return nil, err
	}
	return gen.ForgotPassword200JSONResponse{Success: true, Message: "If this address has an account, a mail is on its way"}, nil
}

// ResetPassword sets a user's password with the token of a reset link.
func (a *API) ResetPassword(ctx context.Context, request gen.ResetPasswordRequestObject) (gen.ResetPasswordResponseObject, error) {
	err := a.Accounts.Reset(ctx, request.Body.Token, request.Body.Password)
	if errors.Is(err, account.ErrLink) {
		return gen.ResetPassword401JSONResponse{
			Body:    gen.Outcome{Message: account.ErrLink.Text},
			Headers: gen.ResetPassword401ResponseHeaders{WWWAuthenticate: "Bearer", XErrorCode: account.ErrLink.Code},
		}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.ResetPassword200JSONResponse{Success: true, Message: "The password is set. You can sign in with it."}, nil
}
