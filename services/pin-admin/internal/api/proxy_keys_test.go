package api_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

// isValid reports whether pin-internal accepts a proxy key for an instance.
func (s *service) isValid(key string, instance uuid.UUID) bool {
	s.t.Helper()
	parsed, err := token.Parse(token.ProxyKey, key, 0)
	must(s.t, err)
	who, err := credential.Keys{DB: s.database.Open(s.t, schema.RolePinInternal)}.AuthenticateProxyKey(s.t.Context(), parsed)
	return err == nil && who.InstanceID == instance
}

func TestProxyKeysOverlapDuringRotation(t *testing.T) {
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
		if !s.isValid(key, instance) {
			t.Error("a new key is not valid for its instance")
		}
	}
	s.checkShownOnce(list, oldKey, newKey)

	for range 2 {
		s.Want(s.ask("DELETE", old, nil), 204)
		if s.isValid(oldKey.JSON("key").(string), instance) || !s.isValid(newKey.JSON("key").(string), instance) {
			t.Error("after the old key is revoked, only the new key must be valid")
		}
	}
	listed := s.Want(s.ask("GET", list+"?sort_dir=asc", nil), 200)
	s.Fields(listed, object{"total": 2.0, "items.1.name": "next", "items.1.revoked_at": nil})
	if listed.JSON("items.0.revoked_at") == nil || listed.JSON("items.0.last_used_at") == nil {
		t.Errorf("revoked_at or last_used_at of the revoked key is null: %s", listed.Body)
	}
	s.Want(s.ask("POST", list, nil), 201) // a missing body counts as {}
	s.actions("proxy_key.issued", "proxy_key.issued", "proxy_key.revoked", "proxy_key.issued")
}

// checkShownOnce checks that keys occur only in the answers that issued them: in no list, audit entry or row.
func (s *service) checkShownOnce(list string, issued ...webtest.Answer) {
	s.t.Helper()
	var rows string
	s.people.Get(&rows, `select coalesce(string_agg(r::text, ''), '') from (
		select p::text as r from proxy_keys p union all select a::text from api_keys a union all select t::text from audit t) all_rows`)
	everywhere := rows + s.ask("GET", list, nil).Body + s.ask("GET", "/v1/audit", nil).Body
	for _, a := range issued {
		key := a.JSON("key").(string)
		if strings.Contains(everywhere, key) || strings.Contains(everywhere, hex.EncodeToString([]byte(key))) {
			s.t.Error("a key is stored or shown again")
		}
		s.NeverLogged(key)
	}
}

// A request for a proxy key and one for an API key are validated in the same way.
func TestInvalidKeyRequestsAreRefused(t *testing.T) {
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
		{"a name of 256 characters", object{"name": strings.Repeat("x", 256)}, "string_too_long", "name"},
		{"an expiry without a time zone", object{"expires_at": soon.Format("2006-01-02T15:04:05")}, "datetime_parsing", "expires_at"},
		{"an expiry that is only a date", object{"expires_at": soon.Format("2006-01-02")}, "datetime_parsing", "expires_at"},
		{"an expiry in unix seconds", object{"expires_at": soon.Unix()}, "string_type", "expires_at"},
		{"an expiry in the past", object{"expires_at": time.Now().Add(-time.Minute).Format(time.RFC3339)}, "value_error", "expires_at"},
		{"an expiry in the year 10000 of UTC", object{"expires_at": "9999-12-31T23:59:59-12:00"}, "datetime_parsing", "expires_at"},
		{"an expiry in the year 0", object{"expires_at": "0000-01-01T00:00:00Z"}, "value_error", "expires_at"},
		{"an expiry in the past, in another time zone", object{"expires_at": time.Now().Add(-time.Minute).In(time.FixedZone("", 14*3600)).Format(time.RFC3339)}, "value_error", "expires_at"},
	} {
		for _, list := range []string{proxyKeys, "/v1/api-keys"} {
			if list != proxyKeys {
				rule.body["scopes"] = []string{"read"}
			}
			a := s.ask("POST", list, rule.body)
			if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.1") != rule.field {
				t.Errorf("%s, %s: %d %s, want %s", rule.name, list, a.Status, a.Body, rule.kind)
			}
		}
	}
	s.Want(s.ask("POST", proxyKeys, object{"expires_at": "9999-12-31T23:59:59Z", "name": nil}), 201)
	key, _ := s.add(proxyKeys, object{"expires_at": nil})
	s.Fields(s.Want(s.ask("POST", "/v1/instances/"+uuid.NewString()+"/proxy-keys", object{}), 404), object{"detail": "Instance not found"})
	for _, path := range []string{
		"/v1/api-keys/" + uuid.NewString(), proxyKeys + "/" + uuid.NewString(),
		"/v1/instances/" + s.people.Instance().String() + "/proxy-keys" + key[len(proxyKeys):], // of another instance
		"/v1/api-keys" + key[len(proxyKeys):],                                                  // the id of a proxy key, as that of an API key
	} {
		s.Fields(s.Want(s.ask("DELETE", path, nil), 404), object{"detail": "Key not found"})
	}
	s.Want(s.ask("DELETE", "/v1/api-keys/x", nil), 422)
	var revoked int
	if s.people.Get(&revoked, `select count(*) from proxy_keys where revoked_at is not null`); revoked != 0 {
		t.Errorf("%d keys were revoked through wrong paths", revoked)
	}
}
