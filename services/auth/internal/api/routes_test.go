package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

func TestRoutesAndDocumentAgree(t *testing.T) {
	t.Parallel()
	s := newService(t)
	webtest.RoutesAreDocumented(t, s.app.Echo.Routes(), s.app.API.Spec.Operations(), "GET /verify-email", "GET /confirm-new-email", "GET /reset-password")
	for path, item := range s.app.API.Spec.Doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.Security == nil {
				t.Errorf("%s %s does not say who may call it", method, path)
				continue
			}
			guarded := len(*operation.Security) > 0
			a := s.request(method, path, nil)
			if (a.body["detail"] == "Not authenticated") != guarded {
				t.Errorf("%s %s without credentials: %d %s", method, path, a.Status, a.Body)
			}
			// Without credentials, the answer says nothing about the rest of the request.
			if a := s.request(method, path+"?%zz", `{`); guarded != (a.Status == http.StatusUnauthorized) {
				t.Errorf("%s %s, malformed and without credentials: %d %s", method, path, a.Status, a.Body)
			}
		}
	}
}

func TestUnknownPathsAndWrongMethods(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, path := range []string{"/", "/auth", "/auth/login/x", "/auth//login", "/v1/me/pin", "/internal/v1", "/.well-known"} {
		if a := s.post(path, map[string]any{}); a.Status != http.StatusNotFound || a.body["detail"] != "Not Found" {
			t.Errorf("%s: got %d %s", path, a.Status, a.Body)
		}
	}
	for path, item := range s.app.API.Spec.Doc.Paths.Map() {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "BREW"} {
			if item.GetOperation(openMethod(method)) != nil {
				continue
			}
			a := s.request(method, path, nil)
			if a.Status != http.StatusMethodNotAllowed || a.body["detail"] != "Method Not Allowed" || a.Header.Get("Allow") != allowed(item) {
				t.Errorf("%s %s: got %d %s, Allow %q", method, path, a.Status, a.Body, a.Header.Get("Allow"))
			}
		}
	}
}

func openMethod(method string) string {
	if method == "BREW" {
		return http.MethodTrace // GetOperation panics for methods that OpenAPI does not have
	}
	return method
}

// allowed returns the methods of a path, as the Allow header has them.
func allowed(item *openapi3.PathItem) string {
	return strings.Join(slices.Sorted(maps.Keys(item.Operations())), ", ")
}

func TestTrailingSlashIsAccepted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.pairOf(s.post("/auth/login/", p.form()))
	s.want(s.post("/auth/signup/", newPerson().form()), http.StatusOK)
	s.want(s.post("/auth/refresh/", map[string]any{"refresh_token": tokens.refresh}), http.StatusOK)
	s.want(s.request(http.MethodGet, "/auth/profile/", nil, "Authorization", "Bearer "+tokens.access), http.StatusOK)
	s.want(s.request(http.MethodGet, "/.well-known/jwks.json/", nil), http.StatusOK)
	s.want(s.post("/auth/logout/", map[string]any{"access_token": tokens.access}), http.StatusOK)
}

func TestInvalidBodiesAreRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	s := newService(t)
	email := func(text string) string { return fmt.Sprintf(`{"email":%q,"password":"Canary-value-1"}`, text) }
	const tooShort = `"type":"string_too_short","loc":["body","password"],"msg":"String should have at least 8 characters","ctx":{"min_length":8}`
	const noEmail = `"type":"value_error","loc":["body","email"],"msg":"value is not a valid email address: An email address must have an @-sign.","ctx":{"reason":`
	cases := []struct {
		name, path, body string
		want             []string
	}{
		{"no body", "/auth/signup", "", []string{`{"type":"missing","loc":["body"],"msg":"Field required"}`}},
		{"blank body", "/auth/login", " \n", []string{`"type":"missing","loc":["body"]`}},
		{"malformed JSON", "/auth/login", `{"email":"canary@example.test",`, []string{`"type":"json_invalid","loc":["body",`, `"msg":"JSON decode error"`}},
		{"two JSON values", "/auth/login", `{} {}`, []string{`"type":"json_invalid"`}},
		{"broken UTF-8", "/auth/login", "{\"email\":\"canary\xff\"}", []string{`"type":"json_invalid"`}},
		{"a list", "/auth/signup", `["canary"]`, []string{`"type":"model_attributes_type","loc":["body"]`}},
		{"null", "/auth/refresh", `null`, []string{`"type":"model_attributes_type","loc":["body"]`}},
		{"an empty object", "/auth/signup", `{}`, []string{`"type":"missing","loc":["body","email"]`, `"type":"missing","loc":["body","password"]`}},
		{"field names in another case", "/auth/logout", `{"Access_Token":"canary"}`, []string{`"type":"missing","loc":["body","access_token"]`}},
		{"no refresh token", "/auth/refresh", `{"token":"canary"}`, []string{`"type":"missing","loc":["body","refresh_token"]`}},
		{"wrong types", "/auth/login", `{"email":4242,"password":{"canary":1}}`, []string{`"type":"string_type","loc":["body","email"]`, `"type":"string_type","loc":["body","password"]`}},
		{"a token that is a number", "/auth/refresh", `{"refresh_token":4242}`, []string{`"type":"string_type","loc":["body","refresh_token"],"msg":"Input should be a valid string"`}},
		{"a token that is null", "/auth/logout", `{"access_token":null}`, []string{`"type":"string_type","loc":["body","access_token"]`}},
		{"a short password", "/auth/signup", `{"email":"canary@example.test","password":"7 chars"}`, []string{tooShort}},
		{"a common password", "/auth/signup", `{"email":"canary@example.test","password":"Password2026!"}`, []string{`{"type":"value_error","loc":["body","password"],"msg":"Value error, The password is too easy to guess","ctx":{"error":{}}}`}},
		{"a long password", "/auth/signup", `{"email":"canary@example.test","password":"` + strings.Repeat("x", 1025) + `"}`, []string{`"type":"string_too_long","loc":["body","password"]`}},
		{"a long password to log in", "/auth/login", `{"email":"canary@example.test","password":"` + strings.Repeat("x", 1025) + `"}`, []string{`"type":"string_too_long"`}},
		{"NUL in a password", "/auth/login", `{"email":"canary@example.test","password":"Canary\u0000value"}`, []string{`"type":"value_error","loc":["body","password"]`}},
		{"text without an @", "/auth/signup", email("canary"), []string{noEmail}},
		{"an empty address", "/auth/login", email(""), []string{noEmail}},
		{"a display name", "/auth/signup", email("Canary <canary@example.test>"), []string{noEmail}},
		{"angle brackets", "/auth/login", email("<canary@example.test>"), []string{noEmail}},
		{"NUL in an address", "/auth/signup", `{"email":"can\u0000ary@example.test","password":"Canary-value-1"}`, []string{noEmail}},
		{"a line feed", "/auth/signup", `{"email":"canary@example.test\nBcc: x@example.test","password":"Canary-value-1"}`, []string{noEmail}},
		{"two addresses", "/auth/signup", email("canary@example.test,x@example.test"), []string{noEmail}},
		{"a long address", "/auth/signup", email(strings.Repeat("canary", 50) + "@example.test"), []string{noEmail}},
		{"a domain without a dot", "/auth/signup", email("canary@localhost"), []string{noEmail}},
		{"a leading space", "/auth/login", email(" canary@example.test"), []string{noEmail}},
	}
	for _, c := range cases {
		a := s.post(c.path, c.body)
		if a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: got %d %s", c.name, a.Status, a.Body)
		}
		for _, want := range c.want {
			if !strings.Contains(a.Body, want) {
				t.Errorf("%s: got %s, want %s", c.name, a.Body, want)
			}
		}
		if strings.Contains(strings.ToLower(a.Body), "canary") || strings.Contains(a.Body, "4242") || strings.Contains(a.Body, `"input"`) {
			t.Errorf("%s: the answer contains the sent value: %s", c.name, a.Body)
		}
	}
	if strings.Contains(strings.ToLower(s.log.String()), "canary") {
		t.Error("the log contains a sent value")
	}
}

func TestContentTypesAndBodySizes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	form := fmt.Sprintf(`{"email":%q,"password":%q}`, p.email, p.password)
	for contentType, want := range map[string]int{
		"": http.StatusOK, "application/json; charset=utf-8": http.StatusOK, "application/vnd.api+json": http.StatusOK,
		"text/plain": http.StatusUnprocessableEntity, "application/x-www-form-urlencoded": http.StatusUnprocessableEntity, "nonsense": http.StatusUnprocessableEntity,
	} {
		s.want(s.post("/auth/login", form, "Content-Type", contentType), want)
	}
	for _, path := range []string{"/auth/signup", "/auth/login", "/auth/refresh", "/auth/logout"} {
		a := s.want(s.post(path, strings.Repeat(" ", 16<<10+1)), http.StatusRequestEntityTooLarge)
		if a.body["detail"] != "Request body too large" {
			t.Errorf("got %s", a.Body)
		}
		s.want(s.post(path, `{"email":"ada@example.test","password":"`+strings.Repeat("x", 10<<20)+`"}`), http.StatusRequestEntityTooLarge)
		s.want(s.post(path, strings.Repeat(" ", 16<<10)), http.StatusUnprocessableEntity)
		s.want(s.post(path+"?x=%zz", form), http.StatusUnprocessableEntity)
	}
	// Addresses may have any script, and their case does not matter.
	greek := person{"Δοκιμή@Παράδειγμα.test", newPerson().password}
	s.want(s.post("/auth/signup", greek.form()), http.StatusOK)
	s.exec(`update users set email_confirmed_at = now()`)
	s.login(person{strings.ToUpper(greek.email), greek.password})
}

func TestWithoutPostgresEveryAnswerIs503(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.login(p)
	s.asService = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable"
	down := s.replica(oldKey)
	for name, a := range map[string]answer{
		"signup": down.post("/auth/signup", newPerson().form()), "login": down.post("/auth/login", p.form()), "refresh": down.refresh(tokens.refresh),
		"challenge": down.answers(token.New(token.Challenge).Reveal(), "123456"), "logout": down.logout(tokens.access), "profile": down.profile(tokens.access), "keys": down.request(http.MethodGet, "/.well-known/jwks.json", nil),
	} {
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || a.body["code"] != "unavailable" || len(a.body) != 2 {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	s.want(s.profile(tokens.access), http.StatusOK)
}

func TestUnknownFieldsAndParametersAreRefused(t *testing.T) {
	t.Parallel()
	b := newService(t).bearer()
	id := strings.TrimPrefix(b.stored(sandboxKey()), "/api/v1/api-keys/")
	ids := strings.NewReplacer("{id}", id, "{session_id}", id)
	b.server.RefusesUnknownInputs(b.app.API.Spec, ids, map[string]string{"Authorization": "Bearer " + b.access})
}

// RFC 6749, section 3.2: an authorization server ignores parameters that it does not know. A vendor may add fields to its events.
func TestOAuthEndpointsAndWebhooksIgnoreUnknownParameters(t *testing.T) {
	t.Parallel()
	var ignoring []string
	s := newService(t)
	for path, item := range s.app.API.Spec.Doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.Extensions["x-ignore-unknown"] == true {
				ignoring = append(ignoring, method+" "+path)
			}
		}
	}
	slices.Sort(ignoring)
	if want := []string{"POST /api/kyc/webhook", "POST /oauth/introspect", "POST /oauth/revoke", "POST /oauth/token"}; !slices.Equal(ignoring, want) {
		t.Errorf("%q ignore unknown parameters, want %q", ignoring, want)
	}
	c := s.client("read")
	s.want(s.form("/oauth/token?x=1", "grant_type", "client_credentials", "resource", "https://example.test", "|", "Authorization", basic(c.id, c.key.Reveal())), http.StatusOK)
	s.want(s.form("/oauth/introspect?x=1", "token", "x", "x", "1", "|", "Authorization", basic(c.id, c.key.Reveal())), http.StatusOK)
	s.want(s.form("/oauth/revoke?x=1", "token", "x", "x", "1"), http.StatusOK)
}

// Answers with a shape of their own have the code of the error too.
func TestEveryErrorHasItsCodeInAHeader(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.signedUp()
	s.want(s.resend(p.email), http.StatusTooManyRequests)
	for code, a := range map[string]answer{
		"login_refused": s.post("/auth/login", newPerson().form()), "email_unconfirmed": s.post("/auth/login", p.form()),
		"challenge_over": s.answers(token.New(token.Challenge).Reveal(), "123456"), "link_refused": s.verify("canary"),
		"mail_too_soon": s.resend(p.email), "not_authenticated": s.request(http.MethodGet, "/auth/profile", nil), "invalid": s.post("/auth/login", `{}`),
	} {
		if got := a.Header.Get("X-Error-Code"); got != code {
			t.Errorf("%s: got %q, %s", code, got, a.Body)
		}
	}
	for path, a := range map[string]answer{"reset": s.reset("canary", newPerson().password), "new address": s.confirmNewEmail("canary"), "refresh": s.refresh("canary")} {
		if a.Status != http.StatusUnauthorized || a.Header.Get("X-Error-Code") == "" {
			t.Errorf("%s: got %d %v", path, a.Status, a.Header)
		}
	}
}
