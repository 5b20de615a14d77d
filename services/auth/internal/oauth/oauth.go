// Package oauth issues, describes and revokes tokens for programs: the grants of OAuth 2.0 (RFC 6749), introspection
// (RFC 7662) and revocation (RFC 7009).
package oauth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// The failures of a client's request. The codes are those of RFC 6749 and RFC 7009.
var (
	ErrScope        = fault.New(fault.Malformed, "invalid_scope", "The client may not have this scope")
	ErrNotRevocable = fault.New(fault.Malformed, "unsupported_token_type", "A token of an API key cannot be revoked; revoke the API key instead")
)

// Tokens issues, describes and revokes tokens for programs.
type Tokens struct {
	DB           *sqlx.DB
	Sessions     *usersession.Sessions
	AccessTokens *accesstoken.Reader
}

// Grant is an access token for a program.
type Grant struct {
	AccessToken secret.Text
	// Scope has the granted scopes, separated by spaces.
	Scope string
	// ExpiresAt is when the token expires. It ends earlier when its API key is revoked or expires.
	ExpiresAt time.Time
}

// Grant issues an access token with this scope for the calling API key; an empty scope means all scopes of the key. It
// returns ErrScope.
func (t *Tokens) Grant(ctx context.Context, scope string) (Grant, error) {
	key, scopes := caller.From(ctx), strings.Fields(scope)
	if len(scopes) == 0 {
		scopes = key.Scopes
	}
	for _, wanted := range scopes {
		if !key.HasScope(wanted) {
			return Grant{}, ErrScope
		}
	}
	g := Grant{Scope: strings.Join(scopes, " ")}
	var err error
	if g.AccessToken, g.ExpiresAt, err = t.Sessions.Sign(ctx, key.ID, accesstoken.Claims{ClientID: key.ID.String(), Scope: g.Scope}); err != nil {
		return Grant{}, err
	}
	event := audit.Event{Action: "token.issued", TargetID: audit.ID(key.ID), Details: map[string]any{"scopes": scopes}}
	return g, audit.Record(ctx, t.DB, event)
}

// Introspect returns the claims of an access token or a refresh token that is valid now, with the user's or key's current
// data. It changes nothing. It returns caller.ErrInvalid for every other token.
func (t *Tokens) Introspect(ctx context.Context, presented secret.Text) (claims accesstoken.Claims, isRefresh bool, err error) {
	if refresh, err := token.Parse(token.Refresh, presented.Reveal(), 0); err == nil {
		claims, err := t.introspectRefresh(ctx, refresh)
		return claims, true, err
	}
	who, err := t.AccessTokens.Authenticate(ctx, presented.Reveal())
	if err != nil {
		return accesstoken.Claims{}, false, err
	}
	signed, err := t.AccessTokens.Read(ctx, presented.Reveal())
	if err != nil {
		return accesstoken.Claims{}, false, err
	}
	claims = *signed
	claims.Email, claims.Scope = who.Email, strings.Join(who.Scopes, " ")
	if !who.Admin && claims.Role != "" {
		claims.Role = "user"
	}
	if who.Kind == caller.User {
		claims.AuthTime, claims.AMR = jwt.NewNumericDate(time.Now().Add(-who.ProvedAgo)), who.AMR // a step-up counts at once
	}
	return claims, false, nil
}

func (t *Tokens) introspectRefresh(ctx context.Context, presented token.Token) (accesstoken.Claims, error) {
	c, err := t.Sessions.FindChain(ctx, presented)
	if errors.Is(err, usersession.ErrRefreshRefused) || err == nil && (!c.Live || c.Presented != c.Current) {
		return accesstoken.Claims{}, caller.ErrInvalid
	}
	if err != nil {
		return accesstoken.Claims{}, err
	}
	return accesstoken.Claims{
		RegisteredClaims: jwt.RegisteredClaims{Issuer: t.Sessions.Issuer, Subject: c.User.ID.String(), ExpiresAt: jwt.NewNumericDate(c.ExpiresAt)},
		ClientID:         accesstoken.SignInClient, SessionID: c.Session, Role: c.Role, Email: c.Email, AMR: c.AMR, AuthTime: jwt.NewNumericDate(c.ProvedAt),
	}, nil
}

// Revoke ends the session of a refresh token, or of an access token, which may have expired. For an unknown token it does
// nothing and returns no error (RFC 7009, section 2.2). It returns ErrNotRevocable for an access token of an API key.
func (t *Tokens) Revoke(ctx context.Context, presented secret.Text) error {
	refresh, err := token.Parse(token.Refresh, presented.Reveal(), 0)
	if err != nil {
		return t.revokeAccess(ctx, presented)
	}
	c, err := t.Sessions.FindChain(ctx, refresh)
	if errors.Is(err, usersession.ErrRefreshRefused) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.Sessions.End(caller.ActingAs(ctx, c.User.ID), c.User.ID, c.Session, usersession.ByLogout, audit.Event{Action: "session.ended"})
}

func (t *Tokens) revokeAccess(ctx context.Context, access secret.Text) error {
	if who, err := t.AccessTokens.Authenticate(ctx, access.Reveal()); err == nil && who.Kind == caller.APIKey {
		return ErrNotRevocable
	}
	if err := t.Sessions.Logout(ctx, access); !errors.Is(err, caller.ErrInvalid) {
		return err
	}
	return nil
}
