package account

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
)

// What a client of OAuth asks for in vain. The codes are those of RFC 6749 and RFC 7009.
var (
	ErrScope        = fault.New(fault.Malformed, "invalid_scope", "The client may not have this scope")
	ErrNotRevocable = fault.New(fault.Malformed, "unsupported_token_type", "This token ends with the API key that it stands for")
)

// Grant is an access token for a program.
type Grant struct {
	AccessToken secret.Text
	// Scope is what it is good for, with spaces between.
	Scope string
	// ExpiresAt is when it does, unless its API key ends before.
	ExpiresAt time.Time
}

// Grant gives the API key that calls an access token with this scope; empty: all that the key has. It returns ErrScope.
func (a *Accounts) Grant(ctx context.Context, scope string) (Grant, error) {
	key, scopes := caller.From(ctx), strings.Fields(scope)
	if len(scopes) == 0 {
		scopes = key.Scopes
	}
	for _, one := range scopes {
		if !key.HasScope(one) {
			return Grant{}, ErrScope
		}
	}
	g := Grant{Scope: strings.Join(scopes, " ")}
	var err error
	if g.AccessToken, g.ExpiresAt, err = a.sign(ctx, key.ID, accesstoken.Claims{ClientID: key.ID, Scope: g.Scope}); err != nil {
		return Grant{}, err
	}
	event := audit.Event{Action: "token.issued", TargetID: audit.ID(key.ID), Details: map[string]any{"scopes": scopes}}
	return g, audit.Record(ctx, a.db, event)
}

// Introspect returns what an access token or a refresh token that can be used at this moment stands for, as it is now, and
// changes nothing. It returns caller.ErrInvalid for every other.
func (a *Accounts) Introspect(ctx context.Context, presented secret.Text) (claims accesstoken.Claims, isRefresh bool, err error) {
	if refresh, err := token.Parse(token.Refresh, presented.Reveal(), 0); err == nil {
		claims, err := a.introspectRefresh(ctx, refresh)
		return claims, true, err
	}
	who, err := a.tokens.Authenticate(ctx, presented.Reveal())
	if err != nil {
		return accesstoken.Claims{}, false, err
	}
	said, err := a.tokens.Read(ctx, presented.Reveal())
	if err != nil {
		return accesstoken.Claims{}, false, err
	}
	claims = *said
	claims.Email, claims.Scope = who.Email, strings.Join(who.Scopes, " ")
	if !who.Admin && claims.Role != "" {
		claims.Role = "user"
	}
	return claims, false, nil
}

func (a *Accounts) introspectRefresh(ctx context.Context, presented token.Token) (accesstoken.Claims, error) {
	f, err := a.family(ctx, presented)
	if errors.Is(err, ErrRefreshRefused) || err == nil && (!f.Live || f.Presented != f.Current) {
		return accesstoken.Claims{}, caller.ErrInvalid
	}
	if err != nil {
		return accesstoken.Claims{}, err
	}
	return accesstoken.Claims{
		RegisteredClaims: jwt.RegisteredClaims{Issuer: a.issuer, Subject: f.User.ID.String(), ExpiresAt: jwt.NewNumericDate(f.ExpiresAt)},
		SessionID:        f.Session, Role: f.Role, Email: f.Email, AMR: f.AMR,
	}, nil
}

// Revoke ends the session that an access token, which may have expired, or a refresh token belongs to. A token that is none
// of ours ends nothing, which is no failure. It returns ErrNotRevocable.
func (a *Accounts) Revoke(ctx context.Context, presented secret.Text) error {
	refresh, err := token.Parse(token.Refresh, presented.Reveal(), 0)
	if err != nil {
		return a.revokeAccess(ctx, presented)
	}
	f, err := a.family(ctx, refresh)
	if errors.Is(err, ErrRefreshRefused) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.end(as(ctx, f.User.ID), f.Session, "logout", audit.Event{Action: "session.ended"})
}

func (a *Accounts) revokeAccess(ctx context.Context, access secret.Text) error {
	if who, err := a.tokens.Authenticate(ctx, access.Reveal()); err == nil && who.Kind == caller.APIKey {
		return ErrNotRevocable
	}
	if err := a.Logout(ctx, access); !errors.Is(err, caller.ErrInvalid) {
		return err
	}
	return nil
}
