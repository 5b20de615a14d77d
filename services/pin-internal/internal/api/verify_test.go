package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestPINFromFirstSetToLockout(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.Fields(s.verify(right), map[string]any{"verified": false, "error": "pin_not_set", "remaining_attempts": nil, "session_token": nil})

	set := s.Want(s.post(s.identityPath(), map[string]any{"pin": right}), 200)
	s.Fields(set, map[string]any{"has_pin": true, "is_active": true, "is_locked": false, "locked_until": nil})

	verified := s.verify(right)
	s.Fields(verified, map[string]any{"verified": true, "error": nil, "session_ttl_minutes": 30.0, "remaining_attempts": 5.0})
	session, _ := verified.JSON("session_token").(string)
	if !strings.HasPrefix(session, "cst_") {
		t.Fatalf("session_token %q", session)
	}
	s.Fields(s.check(session, ""), map[string]any{"required": false, "reason": "session_active", "session_active": true, "pin_holder": "identity"})
	introspected := s.post("/pin/sessions/introspect", map[string]any{"session_token": session})
	s.Fields(introspected, map[string]any{"active": true, "customer_id": s.customer.String(), "identity_id": s.identity.String()})

	s.Fields(s.verify(wrong), map[string]any{"verified": false, "error": "invalid_pin", "remaining_attempts": 4.0})
	for range 3 {
		s.verify(wrong)
	}
	fifth := s.verify(wrong)
	s.Fields(fifth, map[string]any{"error": "invalid_pin", "remaining_attempts": 0.0})
	if fifth.JSON("locked_until") == nil || fifth.Header.Get("Retry-After") == "" {
		t.Errorf("the lock is not in the answer: %s", fifth.Body)
	}
	s.Fields(s.verify(right), map[string]any{"verified": false, "error": "pin_locked", "remaining_attempts": 0.0})
	s.Fields(s.check(session, ""), map[string]any{"required": true, "reason": "pin_needed", "is_locked": true, "session_active": false})
	s.Fields(s.post("/pin/sessions/introspect", map[string]any{"session_token": session}), map[string]any{"active": false})
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other}), 409)
	s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer()}), 409)
}

// An invalid body charges no attempt (I4), and the answer does not repeat the PIN.
func TestInvalidBodiesAreRefused(t *testing.T) {
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
		{"white space", "  \n", "missing", "[body]", ""},
		{"no pin", map[string]any{"identity_id": id}, "missing", "[body pin]", ""},
		{"an unknown field", `{"pin": "83174629", "identity_id": "` + id + `", "PIN": "83174629"}`, "extra_forbidden", "[body PIN]", ""},
		{"a PIN as the name of a field", `{"pin": "83174629", "identity_id": "` + id + `", "83174629": ""}`, "extra_forbidden", "[body (name not shown)]", ""},
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
		{"pin with a newline", `{"pin": "8317\n"}`, "string_pattern_mismatch", "[body pin]", "pattern"},
		{"identity no UUID", `{"pin": "83174629", "identity_id": "x"}`, "uuid_parsing", "[body identity_id]", "error"},
		{"identity a number", `{"pin": "83174629", "identity_id": 1}`, "uuid_type", "[body identity_id]", "error"},
		{"identity in braces", `{"pin": "83174629", "identity_id": "{` + id + `}"}`, "uuid_parsing", "[body identity_id]", "error"},
		{"identity without dashes", `{"pin": "83174629", "identity_id": "` + strings.ReplaceAll(id, "-", "") + `"}`, "uuid_parsing", "[body identity_id]", "error"},
		{"no customer and no identity", `{"pin": "83174629"}`, "value_error", "[body]", "error"},
		{"customer and identity null", `{"pin": "83174629", "identity_id": null, "customer_id": null}`, "value_error", "[body]", "error"},
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
	s.Fields(s.verify(wrong), map[string]any{"remaining_attempts": 4.0}) // only this attempt was charged
}

// The handler uses the value that was validated, also if a field occurs in two spellings or twice.
func TestHandlerUsesTheValidatedValue(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	twice := `{"pin": "` + right + `", "pin": "` + wrong + `", "identity_id": "` + s.identity.String() + `"}`
	s.Fields(s.Want(s.post("/pin/verify", twice), 200), map[string]any{"verified": false})
	spellings := `{"pin": "` + wrong + `", "PIN": "` + right + `", "identity_id": "` + s.identity.String() + `"}`
	s.Want(s.post("/pin/verify", spellings), 422)
	query := s.Do(webtest.Request{Method: "POST", Path: s.at("/pin/verify?pin=" + right), Header: s.bearer(), Body: map[string]any{"identity_id": s.identity}})
	s.Want(query, 422)
}

func TestBodyLimitAndContentTypes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	body := func(size int) string {
		text := `{"pin": "` + right + `", "identity_id": "` + s.identity.String() + `"`
		return text + strings.Repeat(" ", size-len(text)-1) + `}`
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

func TestUpperCaseIDsAreTheSameHolder(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			id, path := s.identity.String(), s.at("/pin/verify")
			if i%2 == 0 {
				id, path = strings.ToUpper(id), strings.Replace(path, s.instance.String(), strings.ToUpper(s.instance.String()), 1)
			}
			if _, err := s.Try(webtest.Request{Method: "POST", Path: path, Header: s.bearer(), Body: map[string]any{"pin": wrong, "identity_id": id}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var charged int
	s.people.Get(&charged, `select charged from pin_holders`)
	if charged != 5 {
		t.Errorf("%d charged, want 5", charged)
	}
}
