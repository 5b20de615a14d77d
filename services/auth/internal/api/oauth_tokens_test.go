package api_test

import (
	"context"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
)

func TestIntrospectionReturnsCurrentData(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c, p := s.client("read"), s.user()
	tokens := s.login(p)
	claims, _ := s.claimsOf(tokens.access)
	a := s.introspect(c, tokens.access)
	for field, want := range map[string]any{
		"active": true, "token_type": "Bearer", "sub": claims.Subject, "sid": claims.SessionID.String(), "username": p.email, "role": "user", "iss": issuer,
		"aud": "countersign", "jti": claims.ID, "exp": float64(claims.ExpiresAt.Unix()), "iat": float64(claims.IssuedAt.Unix()), "scope": nil, "client_id": "auth",
	} {
		if a.body[field] != want {
			t.Errorf("%s is %v, want %v", field, a.body[field], want)
		}
	}
	if at, _ := a.body["auth_time"].(float64); math.Abs(at-float64(claims.AuthTime.Unix())) > 1 {
		t.Errorf("auth_time is %v, want %v", at, claims.AuthTime.Unix())
	}
	// A step-up changes the answer at once, without a new token.
	s.aged()
	if at, _ := s.introspect(c, tokens.access).body["auth_time"].(float64); at > float64(time.Now().Unix()-300) {
		t.Errorf("auth_time is %v for a session that was proved long ago", at)
	}
	s.want(s.stepUp(tokens.access, map[string]any{"password": p.password}), http.StatusNoContent)
	if at, _ := s.introspect(c, tokens.access).body["auth_time"].(float64); at < float64(time.Now().Unix()-60) {
		t.Errorf("auth_time is %v after a step-up", at)
	}
	a = s.introspect(c, tokens.refresh)
	if a.body["active"] != true || a.body["token_type"] != "refresh_token" || a.body["sub"] != claims.Subject || a.body["exp"].(float64) < float64(time.Now().Add(719*time.Hour).Unix()) {
		t.Errorf("got %s", a.Body)
	}
	// The answer has the present role, not the one of the token.
	s.exec(`update users set role = 'admin'`)
	admin := s.login(p)
	if a := s.introspect(c, admin.access); a.body["role"] != "admin" {
		t.Errorf("got %s", a.Body)
	}
	s.exec(`update users set role = 'user'`)
	if a := s.introspect(c, admin.access); a.body["role"] != "user" {
		t.Errorf("got %s", a.Body)
	}

	next := s.pairOf(s.refresh(tokens.refresh))
	bad := s.forgeries(tokens.access)
	bad["a used refresh token"], bad["an API key"], bad["an expired token"] = tokens.refresh, c.key.Reveal(), s.minted(tokens.access, func(c *accesstoken.Claims) { c.ExpiresAt = late(0) })
	for name, text := range bad {
		if a := s.introspect(c, text); a.body["active"] != false {
			t.Errorf("%s: got %s", name, a.Body)
		}
	}
	if again := s.pairOf(s.refresh(tokens.refresh)); again.refresh != next.refresh {
		t.Error("introspection used the refresh token")
	}
	s.want(s.logout(next.access), http.StatusOK)
	for _, text := range []string{tokens.access, next.access, next.refresh} {
		if a := s.introspect(c, text); a.body["active"] != false {
			t.Errorf("after the logout: %s", a.Body)
		}
	}
}

func TestRevocationEndsTheSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	stays := s.login(p)
	for name, which := range map[string]func(first, second pair) string{
		"access token":        func(_, second pair) string { return second.access },
		"older access token":  func(first, _ pair) string { return first.access },
		"refresh token":       func(_, second pair) string { return second.refresh },
		"older refresh token": func(first, _ pair) string { return first.refresh },
		"expired access token": func(first, _ pair) string {
			return s.minted(first.access, func(c *accesstoken.Claims) { c.ExpiresAt = late(time.Hour) })
		},
	} {
		first := s.login(p)
		second := s.pairOf(s.refresh(first.refresh))
		for range 2 {
			if a := s.want(s.form("/oauth/revoke", "token", which(first, second), "token_type_hint", "refresh_token"), http.StatusOK); a.Body != "" {
				t.Errorf("%s: got %q", name, a.Body)
			}
		}
		s.want(s.profile(second.access), http.StatusUnauthorized)
		s.want(s.refresh(second.refresh), http.StatusUnauthorized)
		const trail = `select count(*) from audit where action = 'session.ended' and actor_kind = 'user' and target_id = $1`
		if n := one[int](s.deployment, trail, s.sessionOf(first)); n != 1 {
			t.Errorf("%s: %d audit rows", name, n)
		}
	}
	for name, text := range s.forgeries(stays.access) {
		if text != "" {
			s.want(s.form("/oauth/revoke", "token", text), http.StatusOK)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
	s.want(s.profile(stays.access), http.StatusOK)
	s.pairOf(s.refresh(stays.refresh))
}

func TestTokenOfAUserAndAClientIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	access := s.login(s.user()).access
	claims, _ := s.claimsOf(access)
	claims.ClientID, claims.Scope = uuid.NewString(), "admin"
	text, err := s.app.API.Keys.Sign(context.Background(), claims)
	must(t, err)
	s.want(s.profile(text), http.StatusUnauthorized)
	claims = accesstoken.Claims{RegisteredClaims: claims.RegisteredClaims, Scope: "admin"}
	claims.ExpiresAt = jwt.NewNumericDate(time.Now().Add(time.Hour))
	text, err = s.app.API.Keys.Sign(context.Background(), claims)
	must(t, err)
	s.want(s.profile(text), http.StatusUnauthorized)
}
