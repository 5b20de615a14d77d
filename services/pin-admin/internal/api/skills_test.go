package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func (s *service) skills(instance uuid.UUID) string {
	return "/v1/instances/" + instance.String() + "/skills"
}

func TestRegisterChangeAndRemoveASkill(t *testing.T) {
	t.Parallel()
	s := newService(t)
	list := s.skills(s.people.Instance())
	s.Fields(s.Want(s.ask("GET", list, nil), 200), object{"total": 0.0, "page": 1.0, "per_page": 20.0})
	first := s.Want(s.ask("PUT", list+"/pay.Transfer", `{"mode": "approval", "title": "Transfer", "summary": "Pay {amount} to {to.name}",
		"arguments": {"type": "object", "properties": {"to": {"type": "object"}, "amount": {"type": "number", "maximum": 1.50}}, "additionalProperties": false},
		"audience": "bank"}`), 201)
	s.Fields(first, object{"skill": "pay.Transfer", "mode": "approval", "title": "Transfer", "summary": "Pay {amount} to {to.name}", "audience": "bank",
		"arguments.properties.amount.maximum": 1.5})
	// The schema keeps the order of its names.
	if !strings.Contains(first.Body, `{"type":"object","properties":{"to":{"type":"object"},"amount":{"type":"number","maximum":1.50}},"additionalProperties":false}`) {
		t.Errorf("the schema was changed: %s", first.Body)
	}
	s.Fields(s.Want(s.ask("GET", list+"/PAY.TRANSFER", nil), 200), object{"skill": "pay.Transfer", "created_at": first.JSON("created_at")})

	second := s.Want(s.ask("PUT", list+"/PAY.transfer", object{"mode": "session", "title": nil}), 200)
	s.Fields(second, object{"skill": "PAY.transfer", "mode": "session", "title": nil, "summary": nil, "arguments": nil, "audience": nil, "created_at": first.JSON("created_at")})
	s.Want(s.ask("PUT", list+"/weather", object{"mode": "open"}), 201)
	s.Fields(s.Want(s.ask("GET", list+"?sort_by=skill&sort_dir=asc", nil), 200), object{"total": 2.0, "items.0.skill": "PAY.transfer", "items.1.skill": "weather"})
	s.Fields(s.Want(s.ask("GET", list+"?search=WEAT", nil), 200), object{"total": 1.0, "items.0.skill": "weather"})

	s.Want(s.ask("DELETE", list+"/Pay.transfer", nil), 204)
	s.Want(s.ask("DELETE", list+"/Pay.transfer", nil), 204)
	s.Fields(s.Want(s.ask("GET", list+"/pay.transfer", nil), 404), object{"detail": "Skill not found"})
	s.Fields(s.Want(s.ask("GET", "/v1/audit", nil), 200), object{
		"items.0.action": "skill.removed", "items.0.details.skill": "PAY.transfer", "items.0.actor.kind": "api_key",
		"items.1.action": "skill.set", "items.1.details.skill": "weather", "items.2.details.mode": "session", "items.3.details.summary": "Pay {amount} to {to.name}", "items.4": nil})
}

func TestSkillNamesInThePath(t *testing.T) {
	t.Parallel()
	s := newService(t)
	list := s.skills(s.people.Instance())
	for _, name := range []string{"pay/transfer", "a/../b", "preview", "Überweisung", "支払い", "with space", "100%", "a%2Fb", "a+b", "a?b#c", "'; drop", "a\\b", "{}", strings.Repeat("x", 255), "a" + strings.Repeat("/", 253) + "b"} {
		path := list + "/" + url.PathEscape(name)
		s.Fields(s.Want(s.ask("PUT", path, object{"mode": "open"}), 201), object{"skill": name})
		s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"skill": name})
		s.Want(s.ask("DELETE", path, nil), 204)
		s.Want(s.ask("GET", path, nil), 404)
	}
	for name, kind := range map[string]string{
		strings.Repeat("x", 256): "string_too_long", strings.Repeat("/", 256): "string_too_long", "a\x00b": "value_error", "\xff": "value_error",
	} {
		s.Fields(s.Want(s.ask("PUT", list+"/"+url.PathEscape(name), object{"mode": "open"}), 422), object{"detail.0.type": kind, "detail.0.loc.0": "path", "detail.0.loc.1": "skill"})
	}
	for _, name := range []string{"pay.*", "*", "a\u200Bb", "a\u202Eb", "a\nb"} {
		s.Fields(s.Want(s.ask("PUT", list+"/"+url.PathEscape(name), object{"mode": "open"}), 422), object{"detail.0.type": "value_error", "detail.0.loc.1": "skill"})
		s.Want(s.ask("GET", list+"/"+url.PathEscape(name), nil), 404)
	}
}

func TestInvalidSkillsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path := s.skills(s.people.Instance()) + "/pay"
	for body, want := range map[string]string{
		``:                                     "missing [body]",
		`{}`:                                   "missing [body mode]",
		`[]`:                                   "model_attributes_type [body]",
		`{"mode": "Approval"}`:                 "enum [body mode]",
		`{"mode": ""}`:                         "enum [body mode]",
		`{"mode": null}`:                       "enum [body mode]",
		`{"mode": "open", "skill": "x"}`:       "extra_forbidden [body skill]",
		`{"mode": "open", "Mode": "x"}`:        "extra_forbidden [body Mode]",
		`{"mode": "open", "mode": "approval"}`: "value_error [body mode]",
		`{"mode": "open", "title": ""}`:        "string_too_short [body title]",
		`{"mode": "open", "title": 5}`:         "string_type [body title]",
		`{"mode": "open", "title": "` + strings.Repeat("x", 101) + `"}`:                                             "string_too_long [body title]",
		`{"mode": "open", "title": "a\u202eb"}`:                                                                     "value_error [body title]",
		`{"mode": "open", "summary": "` + strings.Repeat("x", 501) + `"}`:                                           "string_too_long [body summary]",
		`{"mode": "open", "summary": "{a"}`:                                                                         "value_error [body summary]",
		`{"mode": "open", "summary": "{a|upper}"}`:                                                                  "value_error [body summary]",
		`{"mode": "open", "audience": "` + strings.Repeat("x", 256) + `"}`:                                          "string_too_long [body audience]",
		`{"mode": "open", "arguments": "{}"}`:                                                                       "dict_type [body arguments]",
		`{"mode": "open", "arguments": []}`:                                                                         "dict_type [body arguments]",
		`{"mode": "open", "arguments": {"type": "money"}}`:                                                          "value_error [body arguments]",
		`{"mode": "open", "arguments": {"type": "object", "type": "string"}}`:                                       "value_error [body arguments]",
		`{"mode": "open", "arguments": {"minimum": 1e999}}`:                                                         "value_error [body arguments]",
		`{"mode": "open", "arguments": {"$ref": "https://x.example"}}`:                                              "value_error [body arguments]",
		`{"mode": "open", "arguments": {"$ref": "file:///etc/passwd"}}`:                                             "value_error [body arguments]",
		`{"mode": "open", "arguments": {"x": "` + strings.Repeat("x", 16384) + `"}}`:                                "value_error [body arguments]",
		`{"mode": "open", "arguments": ` + strings.Repeat(`{"not":`, 33) + `{}` + strings.Repeat(`}`, 33) + `}`:     "value_error [body arguments]",
		`{"mode": "open", "summary": "{b}", "arguments": {"properties": {"a": {}}, "additionalProperties": false}}`: "value_error [body summary]",
		`{"mode": "open", "arguments": {"a": "` + "\xff" + `"}}`:                                                    "json_invalid [body 0]",
	} {
		a := s.ask("PUT", path, body)
		loc := fmt.Sprint(a.JSON("detail.0.loc"))
		if a.Status != 422 || fmt.Sprint(a.JSON("detail.0.type"))+" "+loc != want && !strings.HasPrefix(want, "json_invalid") {
			t.Errorf("%.70s: %d %s, want %s", body, a.Status, a.Body, want)
		}
	}
	s.Want(s.ask("PUT", path, `{"mode": "open", "title": "`+strings.Repeat(" ", 131072)+`"}`), 413)
	s.Want(s.ask("GET", path, nil), 404)
	s.Want(s.ask("PUT", path, `{"mode": "open", "arguments": {"x": "`+strings.Repeat("x", 16384-8)+`"}}`), 201) // exactly 16 KiB
}

func TestSkillsOfOtherInstancesAndCallers(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance, other := s.people.Instance(), s.people.Instance()
	s.Want(s.ask("PUT", s.skills(instance)+"/pay", object{"mode": "approval"}), 201)
	s.Fields(s.Want(s.ask("GET", s.skills(other)+"/pay", nil), 404), object{"detail": "Skill not found"})
	s.Want(s.ask("DELETE", s.skills(other)+"/pay", nil), 204)
	s.Want(s.ask("GET", s.skills(instance)+"/pay", nil), 200)
	unknown := s.skills(uuid.New())
	for _, r := range []webtest.Request{{Method: "GET", Path: unknown}, {Method: "GET", Path: unknown + "/pay"}, {Method: "PUT", Path: unknown + "/pay", Body: object{"mode": "open"}},
		{Method: "DELETE", Path: unknown + "/pay"}, {Method: "POST", Path: unknown + "/preview", Body: object{"skill": "pay", "example": object{}}}} {
		s.Fields(s.Want(s.ask(r.Method, r.Path, r.Body), 404), object{"detail": "Instance not found"})
	}
	s.Want(s.ask("GET", "/v1/instances/1/skills/pay", nil), 422)

	reader := map[string]string{"X-Api-Key": s.people.APIKey("read").Reveal()}
	as := func(method, path string, body any) webtest.Answer {
		return s.Do(webtest.Request{Method: method, Path: path, Header: reader, Body: body})
	}
	s.Want(as("GET", s.skills(instance)+"/pay", nil), 200)
	s.Want(as("GET", s.skills(instance), nil), 200)
	s.Want(as("POST", s.skills(instance)+"/preview", object{"skill": "pay", "example": object{}}), 200)
	s.Want(as("PUT", s.skills(instance)+"/pay", object{"mode": "open"}), 403)
	s.Want(as("DELETE", s.skills(instance)+"/pay", nil), 403)
	s.Fields(s.Want(s.ask("GET", s.skills(instance)+"/pay", nil), 200), object{"mode": "approval"})
}

func TestParallelPutsRegisterOneSkill(t *testing.T) {
	t.Parallel()
	s := newService(t)
	list := s.skills(s.people.Instance())
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range 20 {
		wg.Go(func() {
			name := []string{"pay", "PAY"}[i%2]
			a, err := s.Try(webtest.Request{Method: "PUT", Path: list + "/" + name, Header: s.apiKeyHeader(), Body: object{"mode": "approval", "title": name}})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			statuses[a.Status]++
			if a.JSON("skill") != a.JSON("title") {
				t.Errorf("an answer mixes two requests: %s", a.Body)
			}
		})
	}
	wg.Wait()
	if statuses[201] != 1 || statuses[200] != 19 {
		t.Errorf("answers: %v, want one 201", statuses)
	}
	s.Fields(s.Want(s.ask("GET", list, nil), 200), object{"total": 1.0})
}

func TestPreviewOfASkill(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path := s.skills(s.people.Instance()) + "/preview"
	a := s.Want(s.ask("POST", path, `{"skill": "pay.transfer", "mode": "approval", "title": "Transfer", "summary": "Pay {amount} EUR to {to.name}. {{{note}}}",
		"arguments": {"properties": {"amount": {"type": "number"}}}, "audience": "bank",
		"example": {"to": {"name": "B\u043eb", "iban": "DE\u202e1"}, "amount": 25.50, "tags": []}}`), 200)
	s.Fields(a, object{"title": "Transfer", "summary": "Pay 25.5 EUR to B\u043eb. {—}", "missing.0": "note", "missing.1": nil,
		"summary_parts.0.text": "Pay ", "summary_parts.0.value": nil, "summary_parts.1.value": "25.5", "summary_parts.3.value": "B\u043eb", "summary_parts.3.flags.0": "mixed_scripts",
		"arguments.0.path": "amount", "arguments.0.type": "number", "arguments.0.in_summary": true,
		"arguments.1.path": "tags", "arguments.1.value": "[]", "arguments.1.type": "array",
		"arguments.2.path": "to.iban", "arguments.2.value": "DE⟨U+202E⟩1", "arguments.2.flags.0": "hidden_characters", "arguments.2.in_summary": false,
		"arguments.3.path": "to.name", "arguments.4": nil})
	s.Fields(s.Want(s.ask("POST", path, `{"skill": "pay", "example": {}}`), 200), object{"title": "pay", "summary": "pay", "summary_parts.0.value": "pay", "arguments.0": nil, "missing.0": nil})
	s.Fields(s.Want(s.ask("GET", strings.TrimSuffix(path, "/preview"), nil), 200), object{"total": 0.0})

	const closed = `"arguments": {"properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}, "additionalProperties": false}}, "additionalProperties": false}`
	for body, want := range map[string]string{
		`{"skill": "pay"}`:                                                         "missing [body example]",
		`{"example": {}}`:                                                          "missing [body skill]",
		`{"skill": "", "example": {}}`:                                             "string_too_short [body skill]",
		`{"skill": "pay.*", "example": {}}`:                                        "value_error [body skill]",
		`{"skill": "pay", "example": null}`:                                        "dict_type [body example]",
		`{"skill": "pay", "example": [1]}`:                                         "dict_type [body example]",
		`{"skill": "pay", "example": {}, "mode": "x"}`:                             "enum [body mode]",
		`{"skill": "pay", "example": {}, "summary": "{"}`:                          "value_error [body summary]",
		`{"skill": "pay", "example": {}, "arguments": {"type": 1}}`:                "value_error [body arguments]",
		`{"skill": "pay", "example": {"a": 9007199254740993}}`:                     "value_error [body example a]",
		`{"skill": "pay", "example": {"a": 1, "a": 1}}`:                            "value_error [body example a]",
		`{"skill": "pay", "example": {"a": "\ud800"}}`:                             "value_error [body example a]",
		`{"skill": "pay", "example": {"a": "` + strings.Repeat("x", 16384) + `"}}`: "value_error [body example]",
		`{"skill": "pay", "example": {"canary": 1}, ` + closed + `}`:               "value_error [body example canary]",
		`{"skill": "pay", "example": {"a": {"b": "canary"}}, ` + closed + `}`:      "value_error [body example a b]",
		`{"skill": "pay", "example": {"a": {"83174629": 1}}, ` + closed + `}`:      "value_error [body example a (name not shown)]",
		`{"skill": "pay", "example": {}, "summary": "{a.c}", ` + closed + `}`:      "value_error [body summary]",
		`{"skill": "pay", "example": {}, "unknown": 1}`:                            "extra_forbidden [body unknown]",
	} {
		a := s.ask("POST", path, body)
		if got := fmt.Sprint(a.JSON("detail.0.type"), " ", a.JSON("detail.0.loc")); a.Status != 422 || got != want {
			t.Errorf("%.70s: %d %s, want %s", body, a.Status, a.Body, want)
		}
		if strings.Contains(a.Body, "canary") && !strings.Contains(want, "canary") || strings.Contains(a.Body, "83174629") {
			t.Errorf("%.70s: the answer repeats a value: %s", body, a.Body)
		}
	}
}
