package api_test

import (
	"crypto/ed25519"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/console"
)

func TestRoutesAreDocumented(t *testing.T) {
	t.Parallel()
	s := newService(t)
	files, err := console.Pages(issuer)
	must(t, err)
	undocumented := []string{"GET /approve", "GET /enrol"}
	for path := range files {
		undocumented = append(undocumented, "GET "+path)
	}
	webtest.RoutesAreDocumented(t, s.app.Echo.Routes(), s.app.API.Spec.Operations(), undocumented...)
}

// forLinkHolders are the routes that need no credential except the token of a link.
var forLinkHolders = []string{"POST /v1/enrolments/open", "POST /v1/enrolments/complete", "POST /v1/approvals/open", "POST /v1/approvals/decide"}

// The test covers every route, also routes that are added later. A caller without credentials has no access. A user who is not
// an admin has access only to the routes in forUsers. An API key with the scope read cannot change anything.
func TestEachRouteAllowsOnlyItsCallers(t *testing.T) {
	t.Parallel()
	s := newService(t)
	reader := map[string]string{"X-Api-Key": s.people.APIKey("read").Reveal()}
	user, _ := s.signIn("user@example.com", "user")
	signedIn := map[string]string{"Authorization": "Bearer " + user}
	parameter := regexp.MustCompile(`:\w+`)
	forUsers := map[string]int{"GET /v1/me/pin": 200, "PUT /v1/me/pin": 422, "DELETE /v1/me/pin": 422, "GET /v1/instances/:instance_id/pin-policy": 404,
		"GET /v1/me/approvals": 200, "POST /v1/me/approvals/:approval_id/decide": 422, "GET /v1/me/phrase": 409, "PUT /v1/me/phrase": 422, "DELETE /v1/me/phrase": 409}
	for _, route := range s.app.Echo.Routes() {
		name := route.Method + " " + route.Path
		if !strings.HasPrefix(route.Path, "/v1/") {
			continue
		}
		if slices.Contains(forLinkHolders, name) { // the token in the body is the credential
			for _, header := range []map[string]string{nil, signedIn, reader} {
				if a := s.Do(webtest.Request{Method: route.Method, Path: route.Path, Header: header, Body: `{"broken`}); a.Status != 422 {
					t.Errorf("%s: %d", name, a.Status)
				}
			}
			continue
		}
		path := parameter.ReplaceAllString(route.Path, uuid.NewString())
		ask := func(header map[string]string) int {
			return s.Do(webtest.Request{Method: route.Method, Path: path, Header: header, Body: `{"broken`}).Status
		}
		if got := ask(nil); got != 401 {
			t.Errorf("%s without credentials: %d", name, got)
		}
		want, special := forUsers[name]
		if !special {
			want = 403
		}
		if got := ask(signedIn); got != want {
			t.Errorf("%s as a user: %d, want %d", name, got, want)
		}
		got := ask(reader)
		if changes := route.Method != "GET" && !strings.HasSuffix(route.Path, "/skills/preview"); changes != (got == 403) && !strings.HasPrefix(name, "GET /v1/me/") {
			t.Errorf("%s with the scope read: %d", name, got)
		}
	}
}

func TestRefusedAccessIsRecordedOnceAMinute(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer().String()
	user, claims := s.signIn("user@example.com", "user")
	for range 3 {
		s.Want(s.as(user, "DELETE", "/v1/customers/"+customer, nil), 403)
		s.Want(s.as(user, "GET", "/v1/customers/"+uuid.NewString(), nil), 403)
	}
	s.Want(s.ask("GET", "/v1/me/pin", nil), 403)
	trail := s.Want(s.ask("GET", "/v1/audit?action=access.refused", nil), 200)
	s.Fields(trail, object{
		"items.0.actor.kind": "api_key", "items.0.details.route": "/v1/me/pin", "items.0.details.method": "GET",
		"items.1.actor.kind": "user", "items.1.actor.id": claims.Subject, "items.1.details.route": "/v1/customers/:customer_id", "items.1.details.method": "GET",
		"items.2.details.method": "DELETE", "items.2.customer_id": nil, "items.3": nil})
	s.people.Exec(`update audit set at = at - interval '61 seconds'`)
	s.Want(s.as(user, "DELETE", "/v1/customers/"+customer, nil), 403)
	s.Fields(s.Want(s.ask("GET", "/v1/audit", nil), 200), object{"items.0.details.method": "DELETE", "items.3.details.method": "DELETE", "items.4": nil})
}

func TestAccessTokenValidation(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path := "/v1/customers/" + s.people.Customer().String() + "/pin"
	otherKid, otherKey := s.signingKey()
	for _, rule := range []struct {
		name   string
		token  func(claims *accesstoken.Claims) string
		status int
	}{
		{"valid", s.sign, 200},
		{"of another signing key", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodEdDSA, otherKid.String(), otherKey, c)
		}, 200},
		{"with the kid of another key", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodEdDSA, otherKid.String(), s.signing, c)
		}, 401},
		{"with an unknown kid", func(c *accesstoken.Claims) string {
			return s.signAs(jwt.SigningMethodEdDSA, uuid.NewString(), s.signing, c)
		}, 401},
		{"with a malformed kid", func(c *accesstoken.Claims) string { return s.signAs(jwt.SigningMethodEdDSA, "' or 1=1", s.signing, c) }, 401},
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
		{"without an expiry", func(c *accesstoken.Claims) string { c.ExpiresAt = nil; return s.sign(c) }, 401},
		{"issued in the future", func(c *accesstoken.Claims) string {
			c.IssuedAt = jwt.NewNumericDate(time.Now().Add(time.Minute))
			return s.sign(c)
		}, 401},
		{"typ JWT", func(c *accesstoken.Claims) string { return s.signTyped("JWT", c) }, 401},
		{"typ in upper case", func(c *accesstoken.Claims) string { return s.signTyped("AT+JWT", c) }, 401},
		{"typ of another kind of token", func(c *accesstoken.Claims) string { return s.signTyped("logout+jwt", c) }, 401},
		{"typ a number", func(c *accesstoken.Claims) string { return s.signTyped(1, c) }, 401},
		{"without a typ", func(c *accesstoken.Claims) string { return s.signTyped(nil, c) }, 401},
		{"without an issuer", func(c *accesstoken.Claims) string { c.Issuer = ""; return s.sign(c) }, 401},
		{"without an audience", func(c *accesstoken.Claims) string { c.Audience = nil; return s.sign(c) }, 401},
		{"without a subject", func(c *accesstoken.Claims) string { c.Subject = ""; return s.sign(c) }, 401},
		{"without a client_id", func(c *accesstoken.Claims) string { c.ClientID = ""; return s.sign(c) }, 401},
		{"with another client_id", func(c *accesstoken.Claims) string { c.ClientID = c.Subject; return s.sign(c) }, 401},
		{"without an iat", func(c *accesstoken.Claims) string { c.IssuedAt = nil; return s.sign(c) }, 401},
		{"without a jti", func(c *accesstoken.Claims) string { c.ID = ""; return s.sign(c) }, 401},
		{"without an auth_time", func(c *accesstoken.Claims) string { c.AuthTime = nil; return s.sign(c) }, 401},
		{"without a session", func(c *accesstoken.Claims) string { c.SessionID = uuid.Nil; return s.sign(c) }, 401},
		{"of an unknown session", func(c *accesstoken.Claims) string { c.SessionID = uuid.New(); return s.sign(c) }, 401},
		{"of another user's session", func(c *accesstoken.Claims) string { c.Subject = uuid.NewString(); return s.sign(c) }, 401},
		{"with changed claims", func(c *accesstoken.Claims) string {
			parts := strings.Split(s.sign(c), ".")
			c.Email = "else@example.com"
			return strings.Join([]string{parts[0], strings.Split(s.sign(c), ".")[1], parts[2]}, ".")
		}, 401},
		{"cut short", func(c *accesstoken.Claims) string { text := s.sign(c); return text[:len(text)-4] }, 401},
		{"of a revoked session", func(c *accesstoken.Claims) string {
			s.people.Exec(`update user_sessions set revoked_at = now() where id = $1`, c.SessionID)
			return s.sign(c)
		}, 401},
		{"of a user whose address is no longer confirmed", func(c *accesstoken.Claims) string {
			s.people.Exec(`update users set email_confirmed_at = null where id = $1`, c.Subject)
			return s.sign(c)
		}, 401},
		{"of a former admin", func(c *accesstoken.Claims) string {
			s.people.Exec(`update users set role = 'user' where id = $1`, c.Subject)
			return s.sign(c)
		}, 403},
		{"of a new admin, issued before the change", func(c *accesstoken.Claims) string { c.Role = "user"; return s.sign(c) }, 403},
	} {
		_, claims := s.signIn(uuid.NewString()+"@example.com", "admin")
		a := s.as(rule.token(claims), "GET", path, nil)
		if a.Status != rule.status || (a.Header.Get("WWW-Authenticate") == "Bearer") != (rule.status == 401) {
			t.Errorf("%s: %d, want %d: %s", rule.name, a.Status, rule.status, a.Body)
		}
	}
}

func TestRightsOfEachCredential(t *testing.T) {
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
		{"no credential", nil, 401, 401, 401},
		{"an API key with the scope admin", map[string]string{"X-Api-Key": s.apiKey.Reveal()}, 200, 200, 403},
		{"an API key with the scope read", map[string]string{"X-Api-Key": reader.Reveal()}, 200, 403, 403},
		{"an expired API key", map[string]string{"X-Api-Key": expired.Reveal()}, 401, 401, 401},
		{"a revoked API key", map[string]string{"X-Api-Key": revoked.Reveal()}, 401, 401, 401},
		{"an unknown API key", map[string]string{"X-Api-Key": token.New(token.APIKey).Reveal()}, 401, 401, 401},
		{"a malformed API key", map[string]string{"X-Api-Key": "nonsense"}, 401, 401, 401},
		{"a proxy key", map[string]string{"X-Api-Key": proxyKey.Reveal()}, 401, 401, 401},
		{"a proxy key as bearer", map[string]string{"Authorization": "Bearer " + proxyKey.Reveal()}, 401, 401, 401},
		{"an API key as bearer", map[string]string{"Authorization": "Bearer " + s.apiKey.Reveal()}, 401, 401, 401},
		{"Basic", map[string]string{"Authorization": "Basic YTpi"}, 401, 401, 401},
		{"an invalid access token and a valid API key", map[string]string{"Authorization": "Bearer x", "X-Api-Key": s.apiKey.Reveal()}, 401, 401, 401},
		{"a user", map[string]string{"Authorization": "Bearer " + user}, 403, 403, 200},
		{"an admin", map[string]string{"Authorization": "Bearer " + admin}, 200, 200, 200},
	} {
		// A caller without the right learns nothing about a body that is malformed or too large.
		for _, body := range []any{object{"pin": goodPIN}, `{"pin"`, strings.Repeat("x", 20<<10)} {
			want := rule.write
			if _, malformed := body.(string); malformed && want == 200 {
				continue
			}
			s.status(rule.name, webtest.Request{Method: "POST", Path: pinPath, Header: rule.header, Body: body}, want)
			if _, valid := body.(object); valid {
				body = object{"pin_session_ttl_minutes": 30}
			}
			s.status(rule.name, webtest.Request{Method: "PATCH", Path: policyPath, Header: rule.header, Body: body}, want)
		}
		s.status(rule.name, webtest.Request{Method: "GET", Path: pinPath, Header: rule.header}, rule.read)
		s.status(rule.name, webtest.Request{Method: "GET", Path: "/v1/me/pin", Header: rule.header}, rule.mine)
	}
	var used bool
	s.people.Get(&used, `select last_used_at is not null from api_keys where key_hash = $1`, reader.Hash())
	if !used {
		t.Error("last_used_at is not set")
	}
}

func (s *service) status(name string, r webtest.Request, want int) {
	s.t.Helper()
	if a := s.Do(r); a.Status != want {
		s.t.Errorf("%s: %s %s answered %d, want %d: %s", name, r.Method, r.Path, a.Status, want, a.Body)
	}
}

// auth exchanges an API key for an access token. The token has the rights that the key has now, restricted by its own scope.
func TestAccessTokenOfAnAPIKey(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var key uuid.UUID
	s.people.Get(&key, `select id from api_keys`)
	withScope := func(scope string) string {
		return s.sign(&accesstoken.Claims{ClientID: key.String(), Scope: scope, RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: key.String(), Audience: jwt.ClaimStrings{accesstoken.Audience}, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
		}})
	}
	admin, reader, none := withScope("admin"), withScope("read"), withScope("")
	create := func(token string) int {
		return s.as(token, "POST", "/v1/customers", object{"email": uuid.NewString() + "@example.com"}).Status
	}
	list := func(token string) int { return s.as(token, "GET", "/v1/customers", nil).Status }
	for _, rule := range []struct {
		name, change string
		want         []int // the status of create and of list, with each of the three tokens
	}{
		{"the key has the scope admin", `select`, []int{201, 200, 403, 200, 403, 403}},
		{"the key has the scope read", `update api_keys set scopes = '{read}'`, []int{403, 403, 403, 200, 403, 403}},
		{"the key is revoked", `update api_keys set scopes = '{admin}', revoked_at = now()`, []int{401, 401, 401, 401, 401, 401}},
		{"the key is expired", `update api_keys set revoked_at = null, expires_at = now()`, []int{401, 401, 401, 401, 401, 401}},
	} {
		s.people.Exec(rule.change)
		var got []int
		for _, token := range []string{admin, reader, none} {
			got = append(got, create(token), list(token))
		}
		if !slices.Equal(got, rule.want) {
			t.Errorf("%s: %v, want %v", rule.name, got, rule.want)
		}
	}
	s.people.Exec(`update api_keys set expires_at = null`)
	s.Want(s.as(admin, "GET", "/v1/me/pin", nil), 403) // an API key is not a user
	s.Fields(s.Want(s.as(admin, "GET", "/v1/audit?action=customer.created", nil), 200), object{"items.0.actor.kind": "api_key", "items.0.actor.id": key.String()})
	var used bool
	if s.people.Get(&used, `select last_used_at is not null from api_keys`); !used {
		t.Error("last_used_at is not set")
	}
}

func TestUnknownFieldsAndParametersAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, instance := s.people.Customer(), s.people.Instance()
	var email string
	s.people.Get(&email, `select email from customers where id = $1`, customer)
	admin, _ := s.signIn(email, "admin") // an admin who is a customer may call every operation
	ids := strings.NewReplacer("{customer_id}", customer.String(), "{instance_id}", instance.String(),
		"{identity_id}", s.people.Identity(customer, instance).String(), "{key_id}", uuid.NewString())
	s.RefusesUnknownInputs(s.app.API.Spec, ids, map[string]string{"Authorization": "Bearer " + admin})

	policy := "/v1/instances/" + instance.String() + "/pin-policy"
	a := s.Want(s.ask("PATCH", policy, `{"pin_required_skill": ["payments.*"]}`), 422)
	s.Fields(a, object{"detail.0.type": "extra_forbidden", "detail.0.loc.0": "body", "detail.0.loc.1": "pin_required_skill", "detail.0.msg": "Extra inputs are not permitted", "detail.1": nil})
	s.Fields(s.Want(s.ask("GET", policy, nil), 200), object{"pin_required_skills.0": nil})
}
