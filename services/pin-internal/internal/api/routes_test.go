package api_test

import (
	"net"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

func TestRoutesAreDocumented(t *testing.T) {
	t.Parallel()
	s := newService(t)
	webtest.RoutesAreDocumented(t, s.app.Echo.Routes(), s.app.API.Spec.Operations())
}

// A caller without a valid proxy key of the instance learns nothing about the body.
// typo returns a key with another character in its middle.
func typo(key string) string {
	other := "0"
	if key[20] == '0' {
		other = "1"
	}
	return key[:20] + other + key[21:]
}

func TestInvalidProxyKeysAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	foreign := s.people.ProxyKey(s.people.Instance())
	revoked, expired, apiKey := s.people.ProxyKey(s.instance), s.people.ProxyKey(s.instance), s.people.APIKey("admin")
	s.people.Exec(`update proxy_keys set revoked_at = now() where key_hash = $1`, revoked.Hash())
	s.people.Exec(`update proxy_keys set expires_at = now() where key_hash = $1`, expired.Hash())
	paths := []webtest.Request{
		{Method: "POST", Path: s.at("/pin/verify")},
		{Method: "POST", Path: s.at("/pin/check-required")},
		{Method: "POST", Path: s.at("/pin/sessions/introspect")},
		{Method: "DELETE", Path: s.at("/pin/sessions")},
		{Method: "POST", Path: s.at(s.identityPath())},
		{Method: "DELETE", Path: s.at(s.identityPath())},
		{Method: "GET", Path: s.at("/lookup/identity")},
		{Method: "POST", Path: s.at("/approvals")},
		{Method: "GET", Path: s.at("/approvals/" + uuid.NewString() + "?wait=60")},
		{Method: "POST", Path: s.at("/approvals/" + uuid.NewString() + "/cancel")},
	}
	for _, rule := range []struct {
		name   string
		header string
		status int
	}{
		{"none", "", 401},
		{"no scheme", s.key.Reveal(), 401},
		{"Basic", "Basic " + s.key.Reveal(), 401},
		{"empty", "Bearer ", 401},
		{"nonsense", "Bearer nonsense", 401},
		{"with a typo", "Bearer " + typo(s.key.Reveal()), 401},
		{"cut short", "Bearer " + s.key.Reveal()[:40], 401},
		{"unknown", "Bearer " + token.New(token.ProxyKey).Reveal(), 401},
		{"revoked", "Bearer " + revoked.Reveal(), 401},
		{"expired", "Bearer " + expired.Reveal(), 401},
		{"an API key", "Bearer " + apiKey.Reveal(), 401},
		{"of another instance", "Bearer " + foreign.Reveal(), 404},
	} {
		for _, r := range paths {
			for _, body := range []string{`{"pin": `, strings.Repeat("x", 20<<10)} {
				r.Body, r.Header = body, map[string]string{"Authorization": rule.header}
				a := s.Do(r)
				if a.Status != rule.status {
					t.Errorf("%s: %s %s answered %d, want %d: %s", rule.name, r.Method, r.Path, a.Status, rule.status, a.Body)
				}
				if (a.Header.Get("WWW-Authenticate") == "Bearer") != (rule.status == 401) {
					t.Errorf("%s: WWW-Authenticate %q", rule.name, a.Header.Get("WWW-Authenticate"))
				}
			}
		}
	}
	a := s.Do(webtest.Request{Method: "POST", Path: s.at("/pin/verify"), Header: map[string]string{"Authorization": "bearer " + s.key.Reveal()},
		Body: map[string]any{"pin": right, "identity_id": s.identity}})
	s.Fields(a, map[string]any{"verified": true})
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	for _, rule := range []struct {
		method, path string
		status       int
		detail       any
		allow        string
	}{
		{"GET", "/nowhere", 404, "Not Found", ""},
		{"GET", "/", 404, "Not Found", ""},
		{"POST", "/internal/v1/instances", 404, "Not Found", ""},
		{"GET", s.at("/pin/verify"), 405, "Method Not Allowed", "POST"},
		{"PUT", s.at(s.identityPath()), 405, "Method Not Allowed", "DELETE, POST"},
		{"OPTIONS", s.at("/pin/verify"), 405, "Method Not Allowed", "POST"},
		{"POST", s.at("/lookup/identity"), 405, "Method Not Allowed", "GET"},
		{"POST", s.at("/identities/" + uuid.NewString() + "/pin"), 404, "Identity not found", ""},
		{"DELETE", s.at("/identities/" + uuid.NewString() + "/pin"), 404, "Identity not found", ""},
		{"POST", s.at("/identities/" + strings.ToUpper(s.identity.String()) + "/pin/"), 200, nil, ""},
		{"GET", "/openapi.yaml", 200, nil, ""},
		{"GET", "/docs", 200, nil, ""},
		{"GET", "/docs/", 200, nil, ""},
	} {
		var body any
		if rule.method == "POST" {
			body = map[string]any{"pin": right}
		}
		a := s.Do(webtest.Request{Method: rule.method, Path: rule.path, Header: s.bearer(), Body: body})
		if a.Status != rule.status || a.JSON("detail") != rule.detail || a.Header.Get("Allow") != rule.allow {
			t.Errorf("%s %s: %d %v, Allow %q; want %d %v %q", rule.method, rule.path, a.Status, a.JSON("detail"), a.Header.Get("Allow"), rule.status, rule.detail, rule.allow)
		}
	}
	malformed := s.Do(webtest.Request{Method: "POST", Path: "/internal/v1/instances/x/pin/verify", Header: s.bearer(), Body: map[string]any{"pin": right}})
	s.Fields(s.Want(malformed, 422), map[string]any{"detail.0.type": "uuid_parsing", "detail.0.loc.0": "path", "detail.0.loc.1": "instance_id"})
}

func TestRedisIsDown(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	s := newServiceOn(t, server.URL)
	s.setPIN()
	session, _ := s.verify(right).JSON("session_token").(string)
	server.Stop()
	s.Fields(s.verify(right), map[string]any{"verified": true, "session_token": nil, "session_ttl_minutes": nil})
	s.Fields(s.check(session, ""), map[string]any{"required": true, "session_active": false})
	s.revoke(session)
}

func TestPostgresIsDown(t *testing.T) {
	t.Parallel()
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, unused.Close())
	s := newServiceWith(t, storetest.Postgres(t), "postgres://"+unused.Addr().String()+"/gone", storetest.Redis(t))
	for _, r := range []webtest.Request{
		{Method: "POST", Path: s.at("/pin/verify"), Body: map[string]any{"pin": right, "identity_id": s.identity}},
		{Method: "POST", Path: s.at("/pin/verify"), Body: map[string]any{"pin": 1}},
		{Method: "POST", Path: s.at("/pin/check-required?customer_id=" + s.customer.String())},
		{Method: "POST", Path: s.at(s.identityPath()), Body: map[string]any{"pin": right}},
		{Method: "DELETE", Path: s.at(s.identityPath())},
		{Method: "POST", Path: s.at("/approvals"), Body: map[string]any{"customer_id": s.customer, "skill": "pay"}},
		{Method: "GET", Path: s.at("/approvals/" + uuid.NewString() + "?wait=60")},
		{Method: "POST", Path: s.at("/approvals/" + uuid.NewString() + "/cancel")},
	} {
		r.Header = s.bearer()
		a := s.Want(s.Do(r), 503)
		if a.Header.Get("Retry-After") == "" || a.JSON("detail") != "Temporarily unavailable, try again shortly" {
			t.Errorf("%s %s: %s", r.Method, r.Path, a.Body)
		}
	}
}

func TestUnknownFieldsAndParametersAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ids := strings.NewReplacer("{instance_id}", s.instance.String(), "{identity_id}", s.identity.String(), "{approval_id}", uuid.NewString())
	s.RefusesUnknownInputs(s.app.API.Spec, ids, s.bearer())
}
