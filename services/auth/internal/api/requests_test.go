package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

// answer is an answer with its decoded body.
type answer struct {
	webtest.Answer
	body map[string]any
}

// request sends a request from any goroutine. webtest validates the answer against the OpenAPI document. Headers are pairs of
// name and value; an empty value removes the header.
func (s *service) request(method, path string, body any, headers ...string) answer {
	s.t.Helper()
	r := webtest.Request{Method: method, Path: path, Body: body, Header: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = headers[i+1]
	}
	if form, is := body.(map[string]any); is {
		s.remember(form)
	}
	got, err := s.server.Try(r)
	if err != nil {
		s.t.Error(err)
	}
	if got.Status == http.StatusInternalServerError {
		s.t.Errorf("%s %s: status 500\n%s", method, path, s.log)
	}
	a := answer{Answer: got}
	if json.Unmarshal([]byte(got.Body), &a.body) == nil && a.body["detail"] == nil { // the code of an error is no secret
		s.remember(a.body)
	}
	return a
}

func (s *service) post(path string, body any, headers ...string) answer {
	s.t.Helper()
	return s.request(http.MethodPost, path, body, headers...)
}

// profile requests the profile of an access token's user.
func (s *service) profile(token string) answer {
	s.t.Helper()
	return s.request(http.MethodGet, "/auth/profile", nil, "Authorization", "Bearer "+token)
}

func (s *service) refresh(token string) answer {
	s.t.Helper()
	return s.post("/auth/refresh", map[string]any{"refresh_token": token})
}

func (s *service) logout(token string) answer {
	s.t.Helper()
	return s.post("/auth/logout", map[string]any{"access_token": token})
}

func (s *service) want(a answer, status int) answer {
	s.t.Helper()
	if a.Status != status {
		s.t.Errorf("want %d, got %d %s", status, a.Status, a.Body)
	}
	return a
}

// person is a user with an address and a password.
type person struct{ email, password string }

func newPerson() person {
	return person{strings.ToLower(rand.Text()) + "@example.test", "Canary-" + rand.Text()}
}

func (p person) form() map[string]any {
	return map[string]any{"email": p.email, "password": p.password}
}

// signedUp returns a user whose address is not confirmed. user returns a confirmed one.
func (s *service) signedUp() person {
	s.t.Helper()
	p := newPerson()
	s.want(s.post("/auth/signup", p.form()), http.StatusOK)
	return p
}

func (s *service) user() person {
	s.t.Helper()
	p := s.signedUp()
	s.exec(`update users set email_confirmed_at = now() where email = $1`, p.email)
	return p
}

// pair is the tokens of a session.
type pair struct{ access, refresh string }

func (s *service) pairOf(a answer) pair {
	s.t.Helper()
	session, _ := a.body["session"].(map[string]any)
	if a.Status != http.StatusOK || session == nil {
		s.t.Errorf("want a session, got %d %s", a.Status, a.Body)
		return pair{}
	}
	return pair{session["access_token"].(string), session["refresh_token"].(string)}
}

func (s *service) login(p person) pair {
	s.t.Helper()
	return s.pairOf(s.post("/auth/login", p.form()))
}

// as sends a request with an access token.
func (s *service) as(access, method, path string, body any) answer {
	s.t.Helper()
	return s.request(method, path, body, "Authorization", "Bearer "+access)
}

// withMail returns a service and its mailbox.
func withMail(t *testing.T) (*service, mailtest.Box) {
	t.Helper()
	s := newService(t)
	return s, mailtest.NewBox(t, s.people, issuer, s.db, s.app.Outbox, s.log.Logger())
}

// pass moves mails and pauses into the past.
func (s *service) pass(interval string) {
	s.t.Helper()
	mailtest.Pass(s.people, interval)
}

// claimsOf returns the claims and the key id of an access token.
func (s *service) claimsOf(access string) (accesstoken.Claims, string) {
	s.t.Helper()
	var claims accesstoken.Claims
	parsed, _, err := jwt.NewParser().ParseUnverified(access, &claims)
	must(s.t, err)
	return claims, parsed.Header["kid"].(string)
}

// minted returns a copy of a token with changed claims and a valid signature.
func (s *service) minted(access string, change func(*accesstoken.Claims)) string {
	s.t.Helper()
	claims, _ := s.claimsOf(access)
	change(&claims)
	text, err := s.app.API.Keys.Sign(context.Background(), claims)
	must(s.t, err)
	return text
}

// forgeries returns tokens that every endpoint must refuse. Each differs from access in one point.
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
		t.Header["kid"], t.Header["typ"] = kid, accesstoken.Type
		text, err := t.SignedString(key)
		must(s.t, err)
		return text
	}
	hour := jwt.NewNumericDate(time.Now().Add(time.Hour))
	return map[string]string{
		"no token":                      "x",
		"refresh token":                 token.New(token.Refresh).Reveal(),
		"no signature":                  access[:len(access)-86],
		"one character shorter":         access[:len(access)-1],
		"one character longer":          access + "A",
		"alg none":                      sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid),
		"HS256 with the public key":     sign(jwt.SigningMethodHS256, public, kid),
		"HS256 with its DER":            sign(jwt.SigningMethodHS256, der, kid),
		"another key with the same kid": sign(jwt.SigningMethodEdDSA, stranger, kid),
		"unknown kid":                   sign(jwt.SigningMethodEdDSA, stranger, uuid.NewString()),
		"kid that is not a UUID":        sign(jwt.SigningMethodEdDSA, stranger, "../../dev/null"),
		"kid that is a number":          sign(jwt.SigningMethodEdDSA, stranger, 1),
		"another aud":                   s.minted(access, func(c *accesstoken.Claims) { c.Audience = jwt.ClaimStrings{"elsewhere"} }),
		"no aud":                        s.minted(access, func(c *accesstoken.Claims) { c.Audience = nil }),
		"another iss":                   s.minted(access, func(c *accesstoken.Claims) { c.Issuer += "/" }),
		"no iss":                        s.minted(access, func(c *accesstoken.Claims) { c.Issuer = "" }),
		"no client_id":                  s.minted(access, func(c *accesstoken.Claims) { c.ClientID = "" }),
		"no sub":                        s.minted(access, func(c *accesstoken.Claims) { c.Subject = "" }),
		"no jti":                        s.minted(access, func(c *accesstoken.Claims) { c.ID = "" }),
		"no iat":                        s.minted(access, func(c *accesstoken.Claims) { c.IssuedAt = nil }),
		"no auth_time":                  s.minted(access, func(c *accesstoken.Claims) { c.AuthTime = nil }),
		"no exp":                        s.minted(access, func(c *accesstoken.Claims) { c.ExpiresAt = nil }),
		"iat in the future":             s.minted(access, func(c *accesstoken.Claims) { c.IssuedAt = hour }),
		"nbf in the future":             s.minted(access, func(c *accesstoken.Claims) { c.NotBefore = hour }),
		"expired longer ago than a session lasts": s.minted(access, func(c *accesstoken.Claims) { c.ExpiresAt = late(lifetimes.SessionLifetime) }),
	}
}

// late returns the time one second before d ago.
func late(d time.Duration) *jwt.NumericDate {
	return jwt.NewNumericDate(time.Now().Add(-d - time.Second))
}
