package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestAPIKeysOverlapDuringRotation(t *testing.T) {
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
		t.Error("the prefix of an API key is not csa_")
	}
	s.checkShownOnce(list, reader, admin)

	s.Want(with(reader, "GET", list, nil), 200)
	s.Want(with(reader, "POST", list, object{"scopes": []string{"read"}}), 403)
	s.Want(with(reader, "DELETE", readerAt, nil), 403)
	s.Want(with(admin, "POST", list, object{"scopes": []string{"admin"}}), 201) // the scope admin is enough

	s.Want(with(admin, "DELETE", adminAt, nil), 204) // a key can revoke itself
	s.Want(with(admin, "GET", list, nil), 401)
	s.Want(s.ask("DELETE", adminAt, nil), 204)
	s.Want(with(reader, "GET", list, nil), 200)
	s.people.Exec(`update api_keys set expires_at = now() where name = 'reader'`)
	s.Want(with(reader, "GET", list, nil), 401)
	s.actions("api_key.issued", "api_key.issued", "access.refused", "access.refused", "api_key.issued", "api_key.revoked")
}

func TestInvalidScopesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for body, kind := range map[string]string{
		``: "missing", `{}`: "missing", `{"scopes": []}`: "too_short", `{"scopes": "read"}`: "list_type", `{"scopes": null}`: "list_type", `{"scopes": ["write"]}`: "enum",
		`{"scopes": ["READ"]}`: "enum", `{"scopes": [1]}`: "enum", `{"scopes": ["read", "read"]}`: "value_error", `{"scopes": ["read", "admin", "read"]}`: "too_long",
	} {
		if a := s.ask("POST", "/v1/api-keys", body); a.Status != 422 || a.JSON("detail.0.type") != kind {
			t.Errorf("%s: %d %s, want %s", body, a.Status, a.Body, kind)
		}
	}
}
