package api

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/oauth"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// The errors of OAuth requests. The codes are those of RFC 6749, section 5.2.
var (
	errClient     = fault.New(fault.Unauthenticated, "invalid_client", "Client authentication failed")
	errTwoClients = fault.New(fault.Malformed, "invalid_request", "The client sent credentials in the header and in the body")
	errNoToken    = fault.New(fault.Malformed, "invalid_request", "refresh_token: Field required")
	errGrant      = fault.New(fault.Malformed, "invalid_grant", usersession.ErrRefreshRefused.Text)
	errGrantType  = fault.New(fault.Malformed, "unsupported_grant_type", "grant_type must be refresh_token or client_credentials")
)

// credentials are the credentials of a client in the Authorization header.
type credentials struct {
	id     string
	secret secret.Text
	// present is true when the request has the header.
	present bool
}

type credentialsKey struct{}

// optionalClient reads a client's credentials from the Authorization header, if there are any. The handler reads those in the
// body and authenticates the client.
func (a *API) optionalClient(next echo.HandlerFunc) echo.HandlerFunc {
	return a.public(func(c echo.Context) error {
		id, password, basic := c.Request().BasicAuth()
		sent := credentials{present: c.Request().Header.Get(echo.HeaderAuthorization) != ""}
		if basic {
			sent.id, sent.secret = unescaped(id), secret.New(unescaped(password))
		}
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), credentialsKey{}, sent)))
		return next(c)
	})
}

// unescaped decodes a client's id or secret from the header (RFC 6749, section 2.3.1).
func unescaped(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return text // ids and keys contain no such characters: the authentication will fail
	}
	return plain
}

// client authenticates the client by its credentials in the header or in the body. It returns a context whose caller is the
// client, or, without credentials, ctx and false. Public clients, which have no secret, are not supported.
func (a *API) client(ctx context.Context, id, password *string) (context.Context, bool, error) {
	sent, _ := ctx.Value(credentialsKey{}).(credentials)
	switch {
	case sent.present && password != nil:
		return ctx, false, errTwoClients
	case password != nil:
		sent = credentials{secret: secret.New(*password)}
		if id != nil {
			sent.id = *id
		}
	case !sent.present:
		return ctx, false, nil
	}
	key, err := a.APIKeys.AuthenticateAPIKey(ctx, sent.secret.Reveal())
	if errors.Is(err, caller.ErrInvalid) || err == nil && !sent.names(key) {
		return ctx, false, errClient
	}
	if err != nil {
		return ctx, false, err
	}
	who := caller.From(ctx)
	key.RequestID, key.Address = who.RequestID, who.Address
	return caller.NewContext(ctx, key), true, nil
}

// names reports whether the client's id is the id or the prefix of its key.
func (c credentials) names(key caller.Caller) bool {
	text, err := token.Parse(token.APIKey, c.secret.Reveal(), 0)
	return err == nil && (strings.EqualFold(c.id, key.ID.String()) || c.id == text.Prefix())
}

// IssueToken exchanges a refresh token or an API key for an access token.
func (a *API) IssueToken(ctx context.Context, r gen.IssueTokenRequestObject) (gen.IssueTokenResponseObject, error) {
	ctx, isClient, err := a.client(ctx, r.Body.ClientID, r.Body.ClientSecret)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Body.GrantType == "refresh_token":
		return a.refreshGrant(ctx, r.Body)
	case r.Body.GrantType != "client_credentials":
		return nil, errGrantType
	case !isClient:
		return nil, errClient
	}
	scope := ""
	if r.Body.Scope != nil {
		scope = *r.Body.Scope
	}
	grant, err := a.OAuth.Grant(ctx, scope)
	if err != nil {
		return nil, err
	}
	return tokens(grant.AccessToken, grant.ExpiresAt, nil, &grant.Scope), nil
}

func (a *API) refreshGrant(ctx context.Context, body *gen.TokenRequest) (gen.IssueTokenResponseObject, error) {
	switch {
	case body.RefreshToken == nil:
		return nil, errNoToken
	case body.Scope != nil:
		return nil, oauth.ErrScope // sessions of users have no scopes
	}
	signIn, err := a.Sessions.Refresh(ctx, secret.New(*body.RefreshToken))
	if errors.Is(err, usersession.ErrRefreshRefused) {
		return nil, errGrant
	}
	if err != nil {
		return nil, err
	}
	refresh := signIn.RefreshToken.Reveal()
	return tokens(signIn.AccessToken, signIn.ExpiresAt, &refresh, nil), nil
}

func tokens(access secret.Text, expires time.Time, refresh, scope *string) gen.IssueToken200JSONResponse {
	return gen.IssueToken200JSONResponse{
		AccessToken: access.Reveal(), TokenType: "Bearer", ExpiresIn: int(time.Until(expires).Seconds()), RefreshToken: refresh, Scope: scope,
	}
}

// IntrospectToken returns whether a token is valid, and its claims.
func (a *API) IntrospectToken(ctx context.Context, r gen.IntrospectTokenRequestObject) (gen.IntrospectTokenResponseObject, error) {
	ctx, isClient, err := a.client(ctx, r.Body.ClientID, r.Body.ClientSecret)
	if err != nil {
		return nil, err
	}
	if !isClient {
		return nil, errClient
	}
	claims, isRefresh, err := a.OAuth.Introspect(ctx, secret.New(r.Body.Token))
	if errors.Is(err, caller.ErrInvalid) {
		return gen.IntrospectToken200JSONResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	return gen.IntrospectToken200JSONResponse(introspection(claims, isRefresh)), nil
}

func introspection(c accesstoken.Claims, isRefresh bool) gen.Introspection {
	described := gen.Introspection{
		Active: true, TokenType: nilIfEmpty("Bearer"), Iss: nilIfEmpty(c.Issuer), Aud: nilIfEmpty(strings.Join(c.Audience, " ")), Sub: nilIfEmpty(c.Subject), Jti: nilIfEmpty(c.ID),
		Exp: unixSeconds(c.ExpiresAt), Iat: unixSeconds(c.IssuedAt), ClientID: nilIfEmpty(c.ClientID), AuthTime: unixSeconds(c.AuthTime), Scope: nilIfEmpty(c.Scope), Username: nilIfEmpty(c.Email), Role: nilIfEmpty(c.Role),
	}
	if isRefresh {
		described.TokenType = nilIfEmpty("refresh_token")
	}
	if c.SessionID != uuid.Nil {
		described.Sid, described.AMR = nilIfEmpty(c.SessionID.String()), &c.AMR
	}
	return described
}

func nilIfEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func unixSeconds(at *jwt.NumericDate) *int64 {
	if at == nil {
		return nil
	}
	seconds := at.Unix()
	return &seconds
}

// RevokeToken ends the session of a token. The token itself is the authorization: client credentials are optional.
func (a *API) RevokeToken(ctx context.Context, r gen.RevokeTokenRequestObject) (gen.RevokeTokenResponseObject, error) {
	ctx, _, err := a.client(ctx, r.Body.ClientID, r.Body.ClientSecret)
	if err != nil {
		return nil, err
	}
	if err := a.OAuth.Revoke(ctx, secret.New(r.Body.Token)); err != nil {
		return nil, err
	}
	return gen.RevokeToken200Response{}, nil
}

// GetAuthorizationServer returns the metadata of the authorization server (RFC 8414).
func (a *API) GetAuthorizationServer(context.Context, gen.GetAuthorizationServerRequestObject) (gen.GetAuthorizationServerResponseObject, error) {
	at := func(path string) string { return strings.TrimSuffix(a.Sessions.Issuer, "/") + path }
	clients := []string{"client_secret_basic", "client_secret_post"}
	return gen.GetAuthorizationServer200JSONResponse{
		Headers: gen.GetAuthorizationServer200ResponseHeaders{CacheControl: jwksCaching},
		Body: gen.AuthorizationServer{
			Issuer: a.Sessions.Issuer, TokenEndpoint: at("/oauth/token"), IntrospectionEndpoint: at("/oauth/introspect"), RevocationEndpoint: at("/oauth/revoke"),
			JWKSURI: at("/.well-known/jwks.json"), ServiceDocumentation: at("/docs"),
			ResponseTypesSupported: []string{}, GrantTypesSupported: []string{"refresh_token", "client_credentials"}, ScopesSupported: []string{"admin", "read"},
			TokenEndpointAuthMethodsSupported: append(clients, "none"), IntrospectionEndpointAuthMethodsSupported: clients,
			RevocationEndpointAuthMethodsSupported: append(clients, "none"),
		},
	}, nil
}
