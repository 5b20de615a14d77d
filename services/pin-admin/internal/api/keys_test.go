package api_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

// opens reports whether pin-internal would take a proxy key now.
func (s *service) opens(key string, instance uuid.UUID) bool {
	s.t.Helper()
	parsed, err := token.Parse(token.ProxyKey, key, 0)
	must(s.t, err)
	who, err := credential.Keys{DB: s.database.Open(s.t, schema.RolePinInternal)}.AuthenticateProxyKey(s.t.Context(), parsed)
	return err == nil && who.InstanceID == instance
}

func TestProxyKeysSideBySide(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance := s.people.Instance()
	list := "/v1/instances/" + instance.String() + "/proxy-keys"
	before := time.Now()
	old, oldKey := s.add(list, object{})
	s.Fields(oldKey, object{"name": nil, "expires_at": nil, "revoked_at": nil, "last_used_at": nil})
	_, newKey := s.add(list, object{"name": "next", "expires_at": before.Add(time.Hour).Format(time.RFC3339)})
	for _, a := range []webtest.Answer{oldKey, newKey} {
		key := a.JSON("key").(string)
		if !strings.HasPrefix(key, "csp_") || !strings.HasPrefix(key, a.JSON("prefix").(string)) || len(a.JSON("prefix").(string)) > 12 {
			t.Errorf("key and prefix of %v", a.JSON("prefix"))
		}
		if !s.opens(key, instance) {
			t.Error("a new key does not open its instance")
		}
	}
	s.shownOnce(list, oldKey, newKey)

	for range 2 {
		s.Want(s.ask("DELETE", old, nil), 204)
		if s.opens(oldKey.JSON("key").(string), instance) || !s.opens(newKey.JSON("key").(string), instance) {
			t.Error("after revoking the old key it must open nothing, and the new one still its instance")
		}
	}
	listed := s.Want(s.ask("GET", list+"?sort_dir=asc", nil), 200)
	s.Fields(listed, object{"total": 2.0, "items.1.name": "next", "items.1.revoked_at": nil})
	if listed.JSON("items.0.revoked_at") == nil || listed.JSON("items.0.last_used_at") == nil {
		t.Errorf("a revoked key that was used: %s", listed.Body)
	}
	s.Want(s.ask("POST", list, nil), 201) // no body does as well as {}
	s.actions("proxy_key.issued", "proxy_key.issued", "proxy_key.revoked", "proxy_key.issued")
}

// shownOnce fails the test when a key stands anywhere but in the answer that issued it: in a list, in the trail, in a row.
func (s *service) shownOnce(list string, issued ...webtest.Answer) {
	s.t.Helper()
	var rows string
	s.people.Get(&rows, `select coalesce(string_agg(r::text, ''), '') from (
		select p::text as r from proxy_keys p union all select a::text from api_keys a union all select t::text from audit t) all_rows`)
	everywhere := rows + s.ask("GET", list, nil).Body + s.ask("GET", "/v1/audit", nil).Body
	for _, a := range issued {
		key := a.JSON("key").(string)
		if strings.Contains(everywhere, key) || strings.Contains(everywhere, hex.EncodeToString([]byte(key))) {
			s.t.Error("a key is shown twice, or kept")
		}
		s.NeverLogged(key)
	}
}

func TestAPIKeysSideBySide(t *testing.T) {
	t.Parallel()
	s := newService(t)
	const list = "/v1/api-keys"
	with := func(a webtest.Answer, method, path string, body any) webtest.Answer {
		return s.Do(webtest.Request{Method: method, Path: path, Header: map[string]string{"X-Api-Key": a.JSON("key").(string)}, Body: body})
	}
	readerAt, reader := s.add(list, object{"name": "reader", "scopes": []string{"read"}})
	adminAt, admin := s.add(list, object{"scopes": []string{"admin", "read"}, "expires_at": time.Now().Add(time.Hour).Format(time.RFC3339)})
	s.Fields(admin, object{"name": nil, "scopes.0": "admin", "scopes.1": "read", "revoked_at": nil})
	if key := admin.JSON("key").(string); !strings.HasPrefix(key, "csa_") {
		t.Error("the prefix of an API key")
	}
	s.shownOnce(list, reader, admin)

	s.Want(with(reader, "GET", list, nil), 200)
	s.Want(with(reader, "POST", list, object{"scopes": []string{"read"}}), 403)
	s.Want(with(reader, "DELETE", readerAt, nil), 403)
	s.Want(with(admin, "POST", list, object{"scopes": []string{"admin"}}), 201) // admin is everything

	s.Want(with(admin, "DELETE", adminAt, nil), 204) // its own
	s.Want(with(admin, "GET", list, nil), 401)
	s.Want(s.ask("DELETE", adminAt, nil), 204)
	s.Want(with(reader, "GET", list, nil), 200)
	s.people.Exec(`update api_keys set expires_at = now() where name = 'reader'`)
	s.Want(with(reader, "GET", list, nil), 401)
	s.actions("api_key.issued", "api_key.issued", "access.refused", "access.refused", "api_key.issued", "api_key.revoked")
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance := s.people.Instance()
	proxyKeys := "/v1/instances/" + instance.String() + "/proxy-keys"
	soon := time.Now().Add(time.Hour)
	for _, rule := range []struct {
		name        string
		body        object
		kind, field string
	}{
		{"a name that is a number", object{"name": 1}, "string_type", "name"},
		{"an empty name", object{"name": ""}, "string_too_short", "name"},
		{"a name of 256", object{"name": strings.Repeat("x", 256)}, "string_too_long", "name"},
		{"an end without a zone", object{"expires_at": soon.Format("2006-01-02T15:04:05")}, "datetime_parsing", "expires_at"},
		{"a day", object{"expires_at": soon.Format("2006-01-02")}, "datetime_parsing", "expires_at"},
		{"unix seconds", object{"expires_at": soon.Unix()}, "string_type", "expires_at"},
		{"an end in the past", object{"expires_at": time.Now().Add(-time.Minute).Format(time.RFC3339)}, "value_error", "expires_at"},
		{"an end in year 10000 of UTC", object{"expires_at": "9999-12-31T23:59:59-12:00"}, "datetime_parsing", "expires_at"},
		{"an end in year 0", object{"expires_at": "0000-01-01T00:00:00Z"}, "value_error", "expires_at"},
		{"an end in the past of another zone", object{"expires_at": time.Now().Add(-time.Minute).In(time.FixedZone("", 14*3600)).Format(time.RFC3339)}, "value_error", "expires_at"},
	} {
		rule.body["scopes"] = []string{"read"}
		for _, list := range []string{proxyKeys, "/v1/api-keys"} {
			a := s.ask("POST", list, rule.body)
			if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.1") != rule.field {
				t.Errorf("%s, %s: %d %s, want %s", rule.name, list, a.Status, a.Body, rule.kind)
			}
		}
	}
	for body, kind := range map[string]string{
		``: "missing", `{}`: "missing", `{"scopes": []}`: "too_short", `{"scopes": "read"}`: "list_type", `{"scopes": null}`: "list_type", `{"scopes": ["write"]}`: "enum",
		`{"scopes": ["READ"]}`: "enum", `{"scopes": [1]}`: "enum", `{"scopes": ["read", "read"]}`: "value_error", `{"scopes": ["read", "admin", "read"]}`: "too_long",
	} {
		if a := s.ask("POST", "/v1/api-keys", body); a.Status != 422 || a.JSON("detail.0.type") != kind {
			t.Errorf("%s: %d %s, want %s", body, a.Status, a.Body, kind)
		}
	}
	s.Want(s.ask("POST", proxyKeys, object{"expires_at": "9999-12-31T23:59:59Z", "name": nil}), 201)
	key, _ := s.add(proxyKeys, object{"expires_at": nil})
	s.Fields(s.Want(s.ask("POST", "/v1/instances/"+uuid.NewString()+"/proxy-keys", object{}), 404), object{"detail": "Instance not found"})
	for _, path := range []string{
		"/v1/api-keys/" + uuid.NewString(), proxyKeys + "/" + uuid.NewString(),
		"/v1/instances/" + s.people.Instance().String() + "/proxy-keys" + key[len(proxyKeys):], // another instance's
		"/v1/api-keys" + key[len(proxyKeys):],                                                  // a proxy key is no API key
	} {
		s.Fields(s.Want(s.ask("DELETE", path, nil), 404), object{"detail": "Key not found"})
	}
	s.Want(s.ask("DELETE", "/v1/api-keys/x", nil), 422)
	var revoked int
	if s.people.Get(&revoked, `select count(*) from proxy_keys where revoked_at is not null`); revoked != 0 {
		t.Error(fmt.Sprint("keys were revoked by somebody else's name: ", revoked))
	}
}

// An access token that auth gave for an API key does what the key may do at the moment, or less when it says so.
func TestAnAPIKeysAccessToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var key uuid.UUID
	s.people.Get(&key, `select id from api_keys`)
	exchanged := func(scope string) string {
		return s.sign(&accesstoken.Claims{ClientID: key, Scope: scope, RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: key.String(), Audience: jwt.ClaimStrings{accesstoken.Audience}, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
		}})
	}
	all, reading, nothing := exchanged("admin"), exchanged("read"), exchanged("")
	create := func(token string) int {
		return s.as(token, "POST", "/v1/customers", map[string]any{"email": uuid.NewString() + "@example.com"}).Status
	}
	list := func(token string) int { return s.as(token, "GET", "/v1/customers", nil).Status }
	for _, rule := range []struct {
		name, change string
		want         []int // create and list with each of the three
	}{
		{"as it was made", `select`, []int{201, 200, 403, 200, 403, 403}},
		{"may only read by now", `update api_keys set scopes = '{read}'`, []int{403, 403, 403, 200, 403, 403}},
		{"revoked", `update api_keys set scopes = '{admin}', revoked_at = now()`, []int{401, 401, 401, 401, 401, 401}},
		{"good again, then expired", `update api_keys set revoked_at = null, expires_at = now()`, []int{401, 401, 401, 401, 401, 401}},
	} {
		s.people.Exec(rule.change)
		var got []int
		for _, token := range []string{all, reading, nothing} {
			got = append(got, create(token), list(token))
		}
		if !slices.Equal(got, rule.want) {
			t.Errorf("%s: %v, want %v", rule.name, got, rule.want)
		}
	}
	s.people.Exec(`update api_keys set expires_at = null`)
	s.Want(s.as(all, "GET", "/v1/me/pin", nil), 403) // it is nobody
	s.Fields(s.Want(s.as(all, "GET", "/v1/audit?action=customer.created", nil), 200), object{"items.0.actor.kind": "api_key", "items.0.actor.id": key.String()})
	var used bool
	if s.people.Get(&used, `select last_used_at is not null from api_keys`); !used {
		t.Error("the use of the key was not noted")
	}
}
