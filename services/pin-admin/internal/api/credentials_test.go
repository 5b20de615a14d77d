package api_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

func TestAccessTokens(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path := "/v1/customers/" + s.people.Customer().String() + "/pin"
	otherKid, otherKey := s.signingKey()
	for _, rule := range []struct {
		name   string
		token  func(claims *accesstoken.Claims) string
		status int
	}{
		{"good", s.sign, 200},
		{"of another signing key", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodEdDSA, otherKid.String(), otherKey, c)
		}, 200},
		{"signed with one key, named after another", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodEdDSA, otherKid.String(), s.signing, c)
		}, 401},
		{"with an unknown kid", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodEdDSA, uuid.NewString(), s.signing, c)
		}, 401},
		{"with a kid that is none", func(c *accesstoken.Claims) string { return s.signAs(jwt.SigningMethodEdDSA, "' or 1=1", s.signing, c) }, 401},
		{"alg none", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodNone, s.kid.String(), jwt.UnsafeAllowNoneSignatureType, c)
		}, 401},
		{"HS256 with the public key", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodHS256, s.kid.String(), []byte(s.signing.Public().(ed25519.PublicKey)), c)
		}, 401},
		{"of another issuer", func(c *accesstoken.Claims) string { c.Issuer = "https://evil.example.com"; return s.sign(c) }, 401},
		{"for another audience", func(c *accesstoken.Claims) string { c.Audience = jwt.ClaimStrings{"else"}; return s.sign(c) }, 401},
		{"expired a second ago", func(c *accesstoken.Claims) string {
			c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Second))
			return s.sign(c)
		}, 401},
		{"that never expires", func(c *accesstoken.Claims) string { c.ExpiresAt = nil; return s.sign(c) }, 401},
		{"from the future", func(c *accesstoken.Claims) string {
			c.IssuedAt = jwt.NewNumericDate(time.Now().Add(time.Minute))
			return s.sign(c)
		}, 401},
		{"of no session", func(c *accesstoken.Claims) string { c.SessionID = uuid.New(); return s.sign(c) }, 401},
		{"of somebody else's session", func(c *accesstoken.Claims) string { c.Subject = uuid.NewString(); return s.sign(c) }, 401},
		{"changed", func(c *accesstoken.Claims) string {
			parts := strings.Split(s.sign(c), ".")
			c.Email = "else@example.com"
			return strings.Join([]string{parts[0], strings.Split(s.sign(c), ".")[1], parts[2]}, ".")
		}, 401},
		{"cut", func(c *accesstoken.Claims) string { text := s.sign(c); return text[:len(text)-4] }, 401},
		{"of a session that was revoked", func(c *accesstoken.Claims) string {
			s.people.Exec(`update user_sessions set revoked_at = now() where id = $1`, c.SessionID)
			return s.sign(c)
		}, 401},
		{"of an address no longer confirmed", func(c *accesstoken.Claims) string {
			s.people.Exec(`update users set email_confirmed_at = null where id = $1`, c.Subject)
			return s.sign(c)
		}, 401},
		{"of an admin who is none any more", func(c *accesstoken.Claims) string {
			s.people.Exec(`update users set role = 'user' where id = $1`, c.Subject)
			return s.sign(c)
		}, 403},
		{"of a user made admin, with the old token", func(c *accesstoken.Claims) string { c.Role = "user"; return s.sign(c) }, 403},
	} {
		_, claims := s.signIn(uuid.NewString()+"@example.com", "admin")
		a := s.as(rule.token(claims), "GET", path, nil)
		if a.Status != rule.status || (a.Header.Get("WWW-Authenticate") == "Bearer") != (rule.status == 401) {
			t.Errorf("%s: %d, want %d: %s", rule.name, a.Status, rule.status, a.Body)
		}
	}
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, instance := s.people.Customer(), s.people.Instance()
	reader, expired, revoked := s.people.APIKey("read"), s.people.APIKey("admin"), s.people.APIKey("admin")
	proxyKey := s.people.ProxyKey(instance)
	s.people.Exec(`update api_keys set expires_at = now() where key_hash = $1`, expired.Hash())
	s.people.Exec(`update api_keys set revoked_at = now() where key_hash = $1`, revoked.Hash())
	user, _ := s.signIn("user@example.com", "user")
	admin, _ := s.signIn("admin@example.com", "admin")
	pinPath, policyPath := "/v1/customers/"+customer.String()+"/pin", "/v1/instances/"+instance.String()+"/pin-policy"
	for _, rule := range []struct {
		name              string
		header            map[string]string
		read, write, mine int
	}{
		{"nothing", nil, 401, 401, 401},
		{"an API key", map[string]string{"X-Api-Key": s.apiKey.Reveal()}, 200, 200, 403},
		{"one for reading", map[string]string{"X-Api-Key": reader.Reveal()}, 200, 403, 403},
		{"an expired one", map[string]string{"X-Api-Key": expired.Reveal()}, 401, 401, 401},
		{"a revoked one", map[string]string{"X-Api-Key": revoked.Reveal()}, 401, 401, 401},
		{"an unknown one", map[string]string{"X-Api-Key": token.New(token.APIKey).Reveal()}, 401, 401, 401},
		{"nonsense", map[string]string{"X-Api-Key": "nonsense"}, 401, 401, 401},
		{"a proxy key", map[string]string{"X-Api-Key": proxyKey.Reveal()}, 401, 401, 401},
		{"a proxy key as bearer", map[string]string{"Authorization": "Bearer " + proxyKey.Reveal()}, 401, 401, 401},
		{"an API key as bearer", map[string]string{"Authorization": "Bearer " + s.apiKey.Reveal()}, 401, 401, 401},
		{"Basic", map[string]string{"Authorization": "Basic YTpi"}, 401, 401, 401},
		{"a bad token beside a good key", map[string]string{"Authorization": "Bearer x", "X-Api-Key": s.apiKey.Reveal()}, 401, 401, 401},
		{"a user", map[string]string{"Authorization": "Bearer " + user}, 403, 403, 200},
		{"an admin", map[string]string{"Authorization": "Bearer " + admin}, 200, 200, 200},
	} {
		// A body that is broken or too large is not spoken of to who may not send one.
		for _, body := range []any{map[string]any{"pin": goodPIN}, `{"pin"`, strings.Repeat("x", 20<<10)} {
			good := rule.write
			if _, text := body.(string); text && good == 200 {
				continue
			}
			s.status(rule.name, webtest.Request{Method: "POST", Path: pinPath, Header: rule.header, Body: body}, good)
			s.status(rule.name, webtest.Request{Method: "PATCH", Path: policyPath, Header: rule.header, Body: body}, good)
		}
		s.status(rule.name, webtest.Request{Method: "GET", Path: pinPath, Header: rule.header}, rule.read)
		s.status(rule.name, webtest.Request{Method: "GET", Path: "/v1/me/pin", Header: rule.header}, rule.mine)
	}
	var used bool
	s.people.Get(&used, `select last_used_at is not null from api_keys where key_hash = $1`, reader.Hash())
	if !used {
		t.Error("the use of a key was not noted")
	}
}

func (s *service) status(name string, r webtest.Request, want int) {
	s.t.Helper()
	if a := s.Do(r); a.Status != want {
		s.t.Errorf("%s: %s %s answered %d, want %d: %s", name, r.Method, r.Path, a.Status, want, a.Body)
	}
}
