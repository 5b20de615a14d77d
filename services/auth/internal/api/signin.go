package api

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/login"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// Signup registers an address.
func (a *API) Signup(ctx context.Context, request gen.SignupRequestObject) (gen.SignupResponseObject, error) {
	email, err := directory.ParseEmail(request.Body.Email)
	if err != nil {
		return nil, err
	}
	user, err := a.Accounts.Signup(ctx, email, request.Body.Password)
	if err != nil {
		return nil, err
	}
	return gen.Signup200JSONResponse{Success: true, User: shownUser(user)}, nil
}

// Login exchanges a password for a session.
func (a *API) Login(ctx context.Context, request gen.LoginRequestObject) (gen.LoginResponseObject, error) {
	email, err := directory.ParseEmail(request.Body.Email)
	if err != nil {
		return nil, err
	}
	signIn, err := a.Logins.Login(ctx, email, request.Body.Password)
	if result, ok := refused(err); ok {
		return gen.Login401JSONResponse{RefusedJSONResponse: result}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.Login200JSONResponse(shown(signIn)), nil
}

// ChangePassword gives the user another password.
func (a *API) ChangePassword(ctx context.Context, request gen.ChangePasswordRequestObject) (gen.ChangePasswordResponseObject, error) {
	if err := a.Passwords.Change(ctx, request.Body.CurrentPassword, request.Body.NewPassword); err != nil {
		return nil, err
	}
	return gen.ChangePassword200JSONResponse{"message": "The password was changed, and all other sessions have ended"}, nil
}

// AnswerChallenge exchanges a challenge and a code for a session.
func (a *API) AnswerChallenge(ctx context.Context, request gen.AnswerChallengeRequestObject) (gen.AnswerChallengeResponseObject, error) {
	code, err := mfa.ParseCode(request.Body.Code)
	if err != nil {
		return nil, err
	}
	signIn, err := a.Logins.Answer(ctx, request.Body.ChallengeToken, code)
	if result, ok := refused(err); ok {
		return gen.AnswerChallenge401JSONResponse{RefusedJSONResponse: result}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.AnswerChallenge200JSONResponse(shown(signIn)), nil
}

// Refresh exchanges a refresh token for the next pair.
func (a *API) Refresh(ctx context.Context, request gen.RefreshRequestObject) (gen.RefreshResponseObject, error) {
	signIn, err := a.Sessions.Refresh(ctx, request.Body.RefreshToken)
	if result, ok := refused(err); ok {
		return gen.Refresh401JSONResponse{RefusedJSONResponse: result}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.Refresh200JSONResponse(shown(signIn)), nil
}

// Logout ends the session of an access token.
func (a *API) Logout(ctx context.Context, request gen.LogoutRequestObject) (gen.LogoutResponseObject, error) {
	if err := a.Sessions.Logout(ctx, request.Body.AccessToken); err != nil {
		return nil, err
	}
	return gen.Logout200JSONResponse{"message": "Signed out"}, nil
}

// refused is the answer to who may not sign in, which has the shape of the answer to who may.
func refused(err error) (gen.RefusedJSONResponse, bool) {
	var why *fault.Error
	if !errors.As(err, &why) || why.Kind != fault.Unauthenticated {
		return gen.RefusedJSONResponse{}, false
	}
	result := gen.SignInResult{Error: &why.Text}
	if challenge := (*login.Challenge)(nil); errors.As(err, &challenge) {
		result.MFA = &gen.MFAChallenge{
			ChallengeToken: challenge.Token.Reveal(), Methods: []gen.MFAChallengeMethods{gen.TOTP, gen.RecoveryCode}, ExpiresAt: challenge.ExpiresAt.Unix(),
		}
	}
	return gen.RefusedJSONResponse{
		Body:    result,
		Headers: gen.RefusedResponseHeaders{WWWAuthenticate: "Bearer"},
	}, true
}

func shown(s usersession.Tokens) gen.SignInResult {
	return gen.SignInResult{Success: true, User: shownUser(s.User), Session: &gen.SignInSession{
		AccessToken: s.AccessToken.Reveal(), RefreshToken: s.RefreshToken.Reveal(), ExpiresAt: s.ExpiresAt.Unix(),
	}}
}

func shownUser(u account.User) *gen.SignInUser {
	return &gen.SignInUser{ID: u.ID, Email: u.Email, EmailConfirmedAt: u.EmailConfirmedAt}
}
