package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/token"
)

// claimsOf reads a token that the service issued.
func (s *service) claimsOf(access string) (accesstoken.Claims, string) {
	s.t.Helper()
	var claims accesstoken.Claims
	parsed, _, err := jwt.NewParser().ParseUnverified(access, &claims)
	must(s.t, err)
	return claims, parsed.Header["kid"].(string)
}

// minted is a token with our own signature whose claims were changed.
func (s *service) minted(access string, change func(*accesstoken.Claims)) string {
	s.t.Helper()
	claims, _ := s.claimsOf(access)
	change(&claims)
	text, err := s.app.API.Keys.Sign(context.Background(), claims)
	must(s.t, err)
	return text
}

// forgeries are tokens that no endpoint may take, each but for one thing like access.
func (s *service) forgeries(access string) map[string]string {
	s.t.Helper()
	claims, kid := s.claimsOf(access)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	must(s.t, err)
	published := s.request(http.MethodGet, "/.well-known/jwks.json", nil).body["keys"].([]any)[0].(map[string]any)
	public, err := base64.RawURLEncoding.DecodeString(published["x"].(string))
	must(s.t, err)
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(public))
	must(s.t, err)
	sign := func(method jwt.SigningMethod, key any, kid any) string {
		t := jwt.NewWithClaims(method, claims)
		t.Header["kid"] = kid
		text, err := t.SignedString(key)
		must(s.t, err)
		return text
	}
	hour := jwt.NewNumericDate(time.Now().Add(time.Hour))
	return map[string]string{
		"no token":                       "x",
		"refresh token":                  token.New(token.Refresh).Reveal(),
		"no signature":                   access[:len(access)-86],
		"cut short":                      access[:len(access)-1],
		"lengthened":                     access + "A",
		"alg none":                       sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid),
		"HS256 with the public key":      sign(jwt.SigningMethodHS256, public, kid),
		"HS256 with its DER":             sign(jwt.SigningMethodHS256, der, kid),
		"another's key under our kid":    sign(jwt.SigningMethodEdDSA, stranger, kid),
		"unknown kid":                    sign(jwt.SigningMethodEdDSA, stranger, uuid.NewString()),
		"kid that is no uuid":            sign(jwt.SigningMethodEdDSA, stranger, "../../dev/null"),
		"kid that is no text":            sign(jwt.SigningMethodEdDSA, stranger, 1),
		"other aud":                      s.minted(access, func(c *accesstoken.Claims) { c.Audience = jwt.ClaimStrings{"elsewhere"} }),
		"no aud":                         s.minted(access, func(c *accesstoken.Claims) { c.Audience = nil }),
		"other iss":                      s.minted(access, func(c *accesstoken.Claims) { c.Issuer += "/" }),
		"no iss":                         s.minted(access, func(c *accesstoken.Claims) { c.Issuer = "" }),
		"no exp":                         s.minted(access, func(c *accesstoken.Claims) { c.ExpiresAt = nil }),
		"iat in the future":              s.minted(access, func(c *accesstoken.Claims) { c.IssuedAt = hour }),
		"nbf in the future":              s.minted(access, func(c *accesstoken.Claims) { c.NotBefore = hour }),
		"expired before the session did": s.minted(access, func(c *accesstoken.Claims) { c.ExpiresAt = late(lifetimes.SessionLifetime) }),
	}
}

// late is a second longer than d ago.
func late(d time.Duration) *jwt.NumericDate {
	return jwt.NewNumericDate(time.Now().Add(-d - time.Second))
}

func TestProfileIsOfWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	s.user()
	access := s.login(p).access
	a := s.want(s.profile(access), http.StatusOK)
	if len(a.body) != 7 || a.body["email"] != p.email || a.body["full_name"] != nil || a.body["avatar_url"] != nil || a.body["phone"] != nil {
		t.Errorf("got %s", a.Body)
	}
	s.exec(`update users set full_name = 'Ada', avatar_url = 'https://example.test/a', phone = '+1' where email = $1`, p.email)
	a = s.want(s.request(http.MethodGet, "/auth/profile/", nil, "Authorization", "bearer "+access), http.StatusOK)
	if a.body["full_name"] != "Ada" || a.body["avatar_url"] != "https://example.test/a" || a.body["phone"] != "+1" {
		t.Errorf("got %s", a.Body)
	}
}

func TestProfileNeedsALiveAccessToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", tokens.access} {
		a := s.want(s.request(http.MethodGet, "/auth/profile", nil, "Authorization", header), http.StatusUnauthorized)
		if a.body["detail"] != "Not authenticated" || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: got %s", header, a.Body)
		}
	}
	bad := s.forgeries(tokens.access)
	bad["our refresh token"] = tokens.refresh
	bad["expired by a second"] = s.minted(tokens.access, func(c *accesstoken.Claims) { c.ExpiresAt = late(0) })
	bad["a session that is not"] = s.minted(tokens.access, func(c *accesstoken.Claims) { c.SessionID = uuid.New() })
	bad["another's session"] = s.minted(tokens.access, func(c *accesstoken.Claims) { c.Subject = uuid.NewString() })
	for name, text := range bad {
		if a := s.profile(text); a.Status != http.StatusUnauthorized || a.body["detail"] != "Invalid, expired or revoked credentials" {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	s.want(s.profile(tokens.access), http.StatusOK)
	s.exec(`update users set email_confirmed_at = null`)
	s.want(s.profile(tokens.access), http.StatusUnauthorized)
	s.exec(`update users set email_confirmed_at = now()`)
	s.want(s.profile(tokens.access), http.StatusOK)
	s.exec(`delete from users`)
	s.want(s.profile(tokens.access), http.StatusUnauthorized)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
}

func TestLogoutEndsTheSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	elsewhere, first := s.login(p), s.login(p)
	second := s.pairOf(s.refresh(first.refresh))
	claims, _ := s.claimsOf(second.access)
	for range 2 { // the second time it is over already
		if a := s.want(s.logout(second.access), http.StatusOK); len(a.body) != 1 || a.body["message"] == "" {
			t.Errorf("got %s", a.Body)
		}
	}
	s.want(s.logout(first.access), http.StatusOK)
	for _, gone := range []pair{first, second} {
		s.want(s.profile(gone.access), http.StatusUnauthorized)
		s.want(s.refresh(gone.refresh), http.StatusUnauthorized)
	}
	const trail = `select count(*) from audit where action = 'session.ended' and actor_kind = 'user' and actor_id = $1 and target_id = $2`
	if n := one[int](s.deployment, trail, claims.Subject, claims.SessionID); n != 1 {
		t.Errorf("%d rows in the audit trail", n)
	}
	if why := one[string](s.deployment, `select revoked_why from user_sessions where revoked_at is not null`); why != "logout" {
		t.Errorf("revoked_why is %s", why)
	}
	s.want(s.profile(elsewhere.access), http.StatusOK)
}

func TestAnExpiredTokenStillLogsOut(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	expired := s.minted(tokens.access, func(c *accesstoken.Claims) { c.ExpiresAt = late(24 * time.Hour) })
	s.want(s.profile(expired), http.StatusUnauthorized)
	s.want(s.logout(expired), http.StatusOK)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
}

func TestLogoutTakesNoForgeries(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	bad := s.forgeries(tokens.access)
	bad["nothing"], bad["our refresh token"] = "", tokens.refresh
	for name, text := range bad {
		if a := s.logout(text); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	s.want(s.profile(tokens.access), http.StatusOK)
}

func TestWithoutADatabaseNothingIsGranted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.login(p)
	s.asService = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable"
	away := s.replica(oldKey)
	for name, a := range map[string]answer{
		"signup": away.post("/auth/signup", newPerson().form()), "login": away.post("/auth/login", p.form()), "refresh": away.refresh(tokens.refresh),
		"challenge": away.answers(token.New(token.Challenge).Reveal(), "123456"), "logout": away.logout(tokens.access), "profile": away.profile(tokens.access), "keys": away.request(http.MethodGet, "/.well-known/jwks.json", nil),
	} {
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || len(a.body) != 1 {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	s.want(s.profile(tokens.access), http.StatusOK)
}
