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

// The failures of OAuth. The codes are those of RFC 6749, section 5.2.
var (
	errClient     = fault.New(fault.Unauthenticated, "invalid_client", "The client is unknown, expired or revoked, or did not show who it is")
	errTwoClients = fault.New(fault.Malformed, "invalid_request", "The client shows who it is in the header and in the body")
	errNoToken    = fault.New(fault.Malformed, "invalid_request", "refresh_token: Field required")
	errGrant      = fault.New(fault.Malformed, "invalid_grant", usersession.ErrRefreshRefused.Text)
	errGrantType  = fault.New(fault.Malformed, "unsupported_grant_type", "grant_type is neither refresh_token nor client_credentials")
)

// noStore keeps tokens, and what is told of them, out of caches.
const noStore = "no-store"

// credentials are what a client shows in the header Authorization.
type credentials struct {
	id     string
	secret secret.Text
	// shown says that there is such a header.
	shown bool
}

type credentialsKey struct{}

// optionalClient reads a client's credentials from the Authorization header, if there are any. The handler reads those in the
// body and authenticates the client.
func (a *API) optionalClient(next echo.HandlerFunc) echo.HandlerFunc {
	return a.public(func(c echo.Context) error {
		id, password, basic := c.Request().BasicAuth()
		shown := credentials{shown: c.Request().Header.Get(echo.HeaderAuthorization) != ""}
		if basic {
			shown.id, shown.secret = unescaped(id), secret.New(unescaped(password))
		}
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), credentialsKey{}, shown)))
		return next(c)
	})
}

// unescaped undoes the encoding that a client's name and secret have within the header (RFC 6749, section 2.3.1).
func unescaped(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return text // it is none of ours
	}
	return plain
}

// client returns a context in which the client acts that shows who it is, in the header or in the body; the one it was
// given, and false, when none does. A client without a secret is none: there are no public ones to be known by name.
func (a *API) client(ctx context.Context, id, password *string) (context.Context, bool, error) {
	shown, _ := ctx.Value(credentialsKey{}).(credentials)
	switch {
	case shown.shown && password != nil:
		return ctx, false, errTwoClients
	case password != nil:
		shown = credentials{secret: secret.New(*password)}
		if id != nil {
			shown.id = *id
		}
	case !shown.shown:
		return ctx, false, nil
	}
	key, err := a.APIKeys.AuthenticateAPIKey(ctx, shown.secret.Reveal())
	if errors.Is(err, caller.ErrInvalid) || err == nil && !shown.names(key) {
		return ctx, false, errClient
	}
	if err != nil {
		return ctx, false, err
	}
	who := caller.From(ctx)
	key.RequestID, key.Address = who.RequestID, who.Address
	return caller.NewContext(ctx, key), true, nil
}

// names reports whether the client's name is that of its key: the id or the prefix.
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
		return nil, oauth.ErrScope // a session is its user's, who has none
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
		Headers: gen.IssueToken200ResponseHeaders{CacheControl: noStore},
		Body: gen.TokenAnswer{
			AccessToken: access.Reveal(), TokenType: "Bearer", ExpiresIn: int(time.Until(expires).Seconds()), RefreshToken: refresh, Scope: scope,
		},
	}
}

// IntrospectToken tells a client whether a token is good.
func (a *API) IntrospectToken(ctx context.Context, r gen.IntrospectTokenRequestObject) (gen.IntrospectTokenResponseObject, error) {
	ctx, isClient, err := a.client(ctx, r.Body.ClientID, r.Body.ClientSecret)
	if err != nil {
		return nil, err
	}
	if !isClient {
		return nil, errClient
	}
	claims, isRefresh, err := a.OAuth.Introspect(ctx, secret.New(r.Body.Token))
	answer := gen.IntrospectToken200JSONResponse{Headers: gen.IntrospectToken200ResponseHeaders{CacheControl: noStore}}
	switch {
	case err == nil:
		answer.Body = introspection(claims, isRefresh)
	case !errors.Is(err, caller.ErrInvalid):
		return nil, err
	}
	return answer, nil
}

func introspection(c accesstoken.Claims, isRefresh bool) gen.Introspection {
	seen := gen.Introspection{
		Active: true, TokenType: said("Bearer"), Iss: said(c.Issuer), Aud: said(strings.Join(c.Audience, " ")), Sub: said(c.Subject), Jti: said(c.ID),
		Exp: moment(c.ExpiresAt), Iat: moment(c.IssuedAt), Scope: said(c.Scope), Username: said(c.Email), Role: said(c.Role),
	}
	if isRefresh {
		seen.TokenType = said("refresh_token")
	}
	if c.ClientID != uuid.Nil {
		seen.ClientID = said(c.ClientID.String())
	}
	if c.SessionID != uuid.Nil {
		seen.Sid, seen.AMR = said(c.SessionID.String()), &c.AMR
	}
	return seen
}

// said is what there is to say, nil when that is nothing.
func said(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func moment(at *jwt.NumericDate) *int64 {
	if at == nil {
		return nil
	}
	seconds := at.Unix()
	return &seconds
}

// RevokeToken ends the session that a token belongs to, for whoever holds it.
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

// GetAuthorizationServer tells programs where everything is.
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
