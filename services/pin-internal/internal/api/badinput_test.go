package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

func TestBadBodies(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	id := s.identity.String()
	for _, rule := range []struct {
		name string
		body any
		kind string
		loc  string
		ctx  string
	}{
		{"no body", nil, "missing", "[body]", ""},
		{"an empty body", "", "missing", "[body]", ""},
		{"blanks", "  \n", "missing", "[body]", ""},
		{"no pin", map[string]any{"identity_id": id}, "missing", "[body pin]", ""},
		{"PIN in upper case", map[string]any{"PIN": right, "identity_id": id}, "missing", "[body pin]", ""},
		{"broken JSON", `{"pin": "8317`, "json_invalid", "[body 13]", "error"},
		{"more than JSON", `{"pin": "83174629"} {}`, "json_invalid", "[body 19]", "error"},
		{"broken UTF-8", "{\"pin\": \"\xff\xfe\"}", "json_invalid", "[body 0]", "error"},
		{"a list", `["83174629"]`, "model_attributes_type", "[body]", ""},
		{"a string", `"83174629"`, "model_attributes_type", "[body]", ""},
		{"null", `null`, "model_attributes_type", "[body]", ""},
		{"pin a number", `{"pin": 83174629}`, "string_type", "[body pin]", ""},
		{"pin null", `{"pin": null}`, "string_type", "[body pin]", ""},
		{"pin a list", `{"pin": ["83174629"]}`, "string_type", "[body pin]", ""},
		{"pin an object", `{"pin": {"pin": "83174629"}}`, "string_type", "[body pin]", ""},
		{"pin empty", `{"pin": ""}`, "string_too_short", "[body pin]", "min_length"},
		{"pin short", `{"pin": "831"}`, "string_too_short", "[body pin]", "min_length"},
		{"pin long", `{"pin": "8317462983174"}`, "string_too_long", "[body pin]", "max_length"},
		{"pin with letters", `{"pin": "8317a"}`, "string_pattern_mismatch", "[body pin]", "pattern"},
		{"pin in Arabic digits", `{"pin": "٨٣١٧"}`, "string_pattern_mismatch", "[body pin]", "pattern"},
		{"pin in wide digits", `{"pin": "８３１７"}`, "string_pattern_mismatch", "[body pin]", "pattern"},
		{"pin with NUL", `{"pin": "8317\u0000"}`, "string_pattern_mismatch", "[body pin]", "pattern"},
		{"pin with a line end", `{"pin": "8317\n"}`, "string_pattern_mismatch", "[body pin]", "pattern"},
		{"identity no UUID", `{"pin": "83174629", "identity_id": "x"}`, "uuid_parsing", "[body identity_id]", "error"},
		{"identity a number", `{"pin": "83174629", "identity_id": 1}`, "uuid_type", "[body identity_id]", "error"},
		{"identity in braces", `{"pin": "83174629", "identity_id": "{` + id + `}"}`, "uuid_parsing", "[body identity_id]", "error"},
		{"identity without dashes", `{"pin": "83174629", "identity_id": "` + strings.ReplaceAll(id, "-", "") + `"}`, "uuid_parsing", "[body identity_id]", "error"},
		{"nobody", `{"pin": "83174629"}`, "value_error", "[body]", "error"},
		{"nobody, by null", `{"pin": "83174629", "identity_id": null, "customer_id": null}`, "value_error", "[body]", "error"},
	} {
		a := s.post("/pin/verify", rule.body)
		if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || fmt.Sprint(a.JSON("detail.0.loc")) != rule.loc || a.JSON("detail.1") != nil {
			t.Errorf("%s: %d %s, want %s at %s", rule.name, a.Status, a.Body, rule.kind, rule.loc)
		}
		if ctx, _ := a.JSON("detail.0.ctx").(map[string]any); rule.ctx == "" != (ctx == nil) || rule.ctx != "" && ctx[rule.ctx] == nil {
			t.Errorf("%s: ctx %v, want %q", rule.name, ctx, rule.ctx)
		}
		for _, echoed := range []string{"8317", `"input"`, "٨", "８"} {
			if strings.Contains(a.Body, echoed) {
				t.Errorf("%s: the answer repeats %q", rule.name, echoed)
			}
		}
	}
	s.Fields(s.verify(wrong), map[string]any{"remaining_attempts": 4.0}) // I4: all of that was free
}

// What was checked is what is used: of two spellings of a name, and of a name that stands twice.
func TestOnlyTheCheckedValueCounts(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	for _, body := range []string{
		`{"pin": "` + wrong + `", "PIN": "` + right + `", "identity_id": "` + s.identity.String() + `"}`,
		`{"pin": "` + right + `", "pin": "` + wrong + `", "identity_id": "` + s.identity.String() + `"}`,
	} {
		s.Fields(s.Want(s.post("/pin/verify", body), 200), map[string]any{"verified": false})
	}
	query := s.Do(webtest.Request{Method: "POST", Path: s.at("/pin/verify?pin=" + right), Header: s.bearer(), Body: map[string]any{"identity_id": s.identity}})
	s.Want(query, 422)
}

func TestWeakPINsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, weak := range []string{"1234", "9012", "0987", "1122", "1111", "1987", "123123"} {
		a := s.Want(s.post(s.identityPath(), map[string]any{"pin": weak}), 422)
		s.Fields(a, map[string]any{"detail.0.type": "value_error", "detail.0.loc.1": "pin", "detail.0.msg": "Value error, The PIN is too easy to guess"})
	}
	s.Fields(s.verify(right), map[string]any{"error": "pin_not_set"})
}

func TestCredentials(t *testing.T) {
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
		{"with a typo", "Bearer " + s.key.Reveal()[:20] + "0" + s.key.Reveal()[21:], 401},
		{"cut short", "Bearer " + s.key.Reveal()[:40], 401},
		{"unknown", "Bearer " + token.New(token.ProxyKey).Reveal(), 401},
		{"revoked", "Bearer " + revoked.Reveal(), 401},
		{"expired", "Bearer " + expired.Reveal(), 401},
		{"an API key", "Bearer " + apiKey.Reveal(), 401},
		{"another instance's", "Bearer " + foreign.Reveal(), 404},
	} {
		for _, r := range paths {
			// Whoever has no business here is told nothing about the body, however broken or large it is.
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
		a := s.Do(webtest.Request{Method: rule.method, Path: rule.path, Header: s.bearer(), Body: map[string]any{"pin": right}})
		if a.Status != rule.status || a.JSON("detail") != rule.detail || a.Header.Get("Allow") != rule.allow {
			t.Errorf("%s %s: %d %v, Allow %q; want %d %v %q", rule.method, rule.path, a.Status, a.JSON("detail"), a.Header.Get("Allow"), rule.status, rule.detail, rule.allow)
		}
	}
	malformed := s.Do(webtest.Request{Method: "POST", Path: "/internal/v1/instances/x/pin/verify", Header: s.bearer(), Body: map[string]any{"pin": right}})
	s.Fields(s.Want(malformed, 422), map[string]any{"detail.0.type": "uuid_parsing", "detail.0.loc.0": "path", "detail.0.loc.1": "instance_id"})
}

func TestQueries(t *testing.T) {
	t.Parallel()
	s := newService(t)
	id := s.customer.String()
	for _, rule := range []struct {
		query string
		kind  any
		loc   any
	}{
		{"", "missing", "customer_id"},
		{"customer_id=", "uuid_parsing", "customer_id"},
		{"customer_id=1", "uuid_parsing", "customer_id"},
		{"customer_id=" + id + "&customer_id=" + id, "value_error", "customer_id"},
		{"customer_id=" + id + "&identity_id=", "uuid_parsing", "identity_id"},
		{"customer_id=" + id + "&skill=", "string_too_short", "skill"},
		{"customer_id=" + id + "&skill=" + strings.Repeat("s", 256), "string_too_long", "skill"},
		{"customer_id=" + id + "&skill=%00", "value_error", "skill"},
		{"customer_id=" + id + "&skill=%ff", "value_error", "skill"},
	} {
		a := s.post("/pin/check-required?"+rule.query, nil)
		if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.0") != "query" || a.JSON("detail.0.loc.1") != rule.loc {
			t.Errorf("?%s: %d %s", rule.query, a.Status, a.Body)
		}
	}
	s.Fields(s.Want(s.post("/pin/check-required?customer_id=%zz", nil), 422), map[string]any{"detail.0.loc.0": "query"})
	s.Want(s.post("/pin/check-required?customer_id="+uuid.NewString(), nil), 404)
	s.Want(s.post("/pin/check-required?customer_id="+id+"&identity_id="+uuid.NewString(), nil), 404)
	channel := s.Do(webtest.Request{Method: "GET", Path: s.at("/lookup/identity?channel=fax&external_id=1"), Header: s.bearer()})
	s.Fields(s.Want(channel, 422), map[string]any{"detail.0.type": "enum",
		"detail.0.msg": "Input should be 'telegram', 'whatsapp', 'voice', 'sms', 'email' or 'web_chat'"})
	for n, status := range map[int]int{255: 404, 256: 422} {
		s.Want(s.Do(webtest.Request{Method: "GET", Path: s.at("/lookup/identity?channel=sms&external_id=" + strings.Repeat("é", n)), Header: s.bearer()}), status)
	}
}

func TestBodySizesAndTypes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	body := func(size int) string {
		text := `{"pin": "` + right + `", "identity_id": "` + s.identity.String() + `", "more": "`
		return text + strings.Repeat("x", size-len(text)-2) + `"}`
	}
	s.Want(s.post("/pin/verify", body(16<<10)), 200)
	large := s.post("/pin/verify", body(16<<10+1))
	s.Fields(s.Want(large, 413), map[string]any{"detail": "Request body too large"})
	s.Want(s.post("/pin/check-required?customer_id="+s.customer.String(), body(17<<10)), 413)

	for contentType, status := range map[string]int{"": 200, "application/json; charset=utf-8": 200, "application/merge-patch+json": 200,
		"text/plain": 422, "application/x-www-form-urlencoded": 422, "nonsense;;": 422} {
		header := s.bearer()
		header["Content-Type"] = contentType
		a := s.Do(webtest.Request{Method: "POST", Path: s.at("/pin/verify"), Header: header, Body: body(200)})
		if a.Status != status {
			t.Errorf("Content-Type %q: %d %s", contentType, a.Status, a.Body)
		}
	}
}
