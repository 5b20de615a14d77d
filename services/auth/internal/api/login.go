package api

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/login"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// Login opens a session for a password.
func (a *API) Login(ctx context.Context, request gen.LoginRequestObject) (gen.LoginResponseObject, error) {
	email, err := directory.ParseEmail(request.Body.Email)
	if err != nil {
		return nil, err
	}
	signIn, err := a.Logins.Login(ctx, email, request.Body.Password)
	if result, ok := refusal(err); ok {
		return gen.Login401JSONResponse{RefusedJSONResponse: result}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.Login200JSONResponse(signInResult(signIn)), nil
}

// AnswerChallenge opens a session for a challenge and a code.
func (a *API) AnswerChallenge(ctx context.Context, request gen.AnswerChallengeRequestObject) (gen.AnswerChallengeResponseObject, error) {
	code, err := mfa.ParseCode(request.Body.Code)
	if err != nil {
		return nil, err
	}
	signIn, err := a.Logins.Answer(ctx, request.Body.ChallengeToken, code)
	if result, ok := refusal(err); ok {
		return gen.AnswerChallenge401JSONResponse{RefusedJSONResponse: result}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.AnswerChallenge200JSONResponse(signInResult(signIn)), nil
}

// Refresh exchanges a refresh token for the next pair of tokens.
func (a *API) Refresh(ctx context.Context, request gen.RefreshRequestObject) (gen.RefreshResponseObject, error) {
	signIn, err := a.Sessions.Refresh(ctx, request.Body.RefreshToken)
	if result, ok := refusal(err); ok {
		return gen.Refresh401JSONResponse{RefusedJSONResponse: result}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.Refresh200JSONResponse(signInResult(signIn)), nil
}

// Logout ends the session of an access token.
func (a *API) Logout(ctx context.Context, request gen.LogoutRequestObject) (gen.LogoutResponseObject, error) {
	if err := a.Sessions.Logout(ctx, request.Body.AccessToken); err != nil {
		return nil, err
	}
	return gen.Logout200JSONResponse{"message": "Signed out"}, nil
}

// refusal returns the answer to a refused login. It has the shape of a successful answer.
func refusal(err error) (gen.RefusedJSONResponse, bool) {
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
		Headers: gen.RefusedResponseHeaders{WWWAuthenticate: "Bearer", XErrorCode: why.Code},
	}, true
}

func signInResult(s usersession.Tokens) gen.SignInResult {
	return gen.SignInResult{Success: true, User: sessionUser(s.User), Session: &gen.SignInSession{
		AccessToken: s.AccessToken.Reveal(), RefreshToken: s.RefreshToken.Reveal(), ExpiresAt: s.ExpiresAt.Unix(),
	}}
}

func sessionUser(u usersession.User) *gen.SignInUser {
	return &gen.SignInUser{ID: u.ID, Email: u.Email, EmailConfirmedAt: u.EmailConfirmedAt}
}
