package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// VerifyEmail confirms an address with the token of a confirmation link. After several signups it also needs a password.
func (a *API) VerifyEmail(ctx context.Context, request gen.VerifyEmailRequestObject) (gen.VerifyEmailResponseObject, error) {
	user, first, err := a.Accounts.Confirm(ctx, request.Body.Token, account.Choice{Password: request.Body.Password, New: request.Body.NewPassword})
	answer := gen.EmailVerification{Success: err == nil, Message: "Your email address is confirmed"}
	if user.Email != "" {
		answer.UserID, answer.Email = &user.ID, &user.Email
	}
	var why *fault.Error
	switch {
	case errors.As(err, &why) && why.Kind == fault.Unauthenticated:
		answer.Message, answer.ResendURL = why.Text, &a.Links.Resend
		return gen.VerifyEmail401JSONResponse{Body: answer, Headers: gen.VerifyEmail401ResponseHeaders{WWWAuthenticate: "Bearer", XErrorCode: why.Code}}, nil
	case errors.As(err, &why) && why.Kind == fault.Conflict:
		answer.Message = why.Text
		return gen.VerifyEmail409JSONResponse{Body: answer, Headers: gen.VerifyEmail409ResponseHeaders{XErrorCode: why.Code}}, nil
	case err != nil:
		return nil, err
	case !first:
		answer.Message = "Your email address is already verified"
	}
	if a.Links.SignIn != "" {
		answer.RedirectURL = &a.Links.SignIn
	}
	return gen.VerifyEmail200JSONResponse(answer), nil
}

// ResendVerification mails another confirmation link.
func (a *API) ResendVerification(ctx context.Context, request gen.ResendVerificationRequestObject) (gen.ResendVerificationResponseObject, error) {
	email, err := directory.ParseEmail(request.Body.Email)
	if err != nil {
		return nil, err
	}
	if err := a.Accounts.Resend(ctx, email); err != nil {
		return nil, err
	}
	return gen.ResendVerification200JSONResponse{Success: true, Message: "If this address is not confirmed yet, a mail is on its way"}, nil
}

// rateLimitAsResendResult renders every 429 of this endpoint, from whichever limit, as a ResendResult.
func rateLimitAsResendResult(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		var why *fault.Error
		if !errors.As(err, &why) || why.Kind != fault.RateLimited {
			return err
		}
		seconds := int(math.Ceil(why.After.Seconds()))
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(seconds))
		c.Response().Header().Set(web.ErrorCodeHeader, why.Code)
		return c.JSON(http.StatusTooManyRequests, gen.ResendResult{Message: why.Text, RetryAfter: &seconds})
	}
}

// GetVerificationStatus returns whether an address is confirmed.
func (a *API) GetVerificationStatus(ctx context.Context, request gen.GetVerificationStatusRequestObject) (gen.GetVerificationStatusResponseObject, error) {
	email, err := directory.ParseEmail(request.Params.Email)
	if err != nil {
		return nil, err
	}
	at, err := a.Accounts.ConfirmedAt(ctx, email)
	if err != nil {
		return nil, err
	}
	status := gen.VerificationStatusStatusPending
	if at != nil {
		status = gen.VerificationStatusStatusVerified
	}
	return gen.GetVerificationStatus200JSONResponse{Email: email, IsVerified: at != nil, Status: status, VerifiedAt: at}, nil
}
