package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
)

const (
	linkToken = "cap_canary"
	thePIN    = "83917264"
)

// page is a double of pin-admin's public part: it answers open with view, and each decision with the next of answers.
type page struct {
	view    map[string]any
	answers []string
	// decisions are the bodies of the decisions.
	decisions []map[string]string
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Method != http.MethodPost || body["token"] != linkToken {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"detail":"This link is \u001b[2Jinvalid"}`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/v1/approvals/open":
		json.NewEncoder(w).Encode(p.view)
	case "/v1/approvals/decide":
		p.decisions = append(p.decisions, body)
		io.WriteString(w, p.answers[0])
		p.answers = p.answers[1:]
	default:
		w.WriteHeader(http.StatusTeapot)
	}
}

// newPage starts the double and returns it with its link.
func newPage(t *testing.T, answers ...string) (*page, string) {
	t.Helper()
	p := &page{answers: answers, view: map[string]any{
		"status": "pending", "grants": "action", "instance_name": "Demo agent", "customer_name": "Ada", "requester": "runtime", "audience": "payments", "title": "Send money",
		"summary_parts": []map[string]any{{"text": "Send "}, {"value": "25.00", "flags": []string{}}, {"text": " to "}, {"value": "Bob", "flags": []string{"mixed_scripts"}}},
		"arguments":     []map[string]any{{"path": "amount", "value": "25.00"}, {"path": "payee.name", "value": "Bob", "flags": []string{"mixed_scripts"}}},
		"note":          "please hurry", "expires_in": 580, "tries_left": 2, "pin": map[string]any{"state": "active"}, "view_hash": "the-hash",
	}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL + "/approve#" + linkToken
}

func TestApproveSendsThePINForExactlyTheView(t *testing.T) {
	for _, way := range []string{"link as argument", "link on standard input"} {
		p, link := newPage(t, `{"status":"approved"}`)
		args, in := []string{"approve", link}, thePIN+"\n"
		if way == "link on standard input" {
			args, in = args[:1], link+"\n"+in
		}
		r := runs(t, in, args...).want(t, exitDone)
		for _, want := range []string{"Demo agent", "Send money", "Send 25.00 to Bob [mixed scripts]", "amount: 25.00", "payee.name: Bob [mixed scripts]", "For: Ada",
			"Requested by: runtime", "Valid at: payments", "The agent says: please hurry", "9m40s", "The request is approved."} {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s: %q is missing in %q", way, want, r.out)
			}
		}
		if strings.Contains(r.out+r.errOut, thePIN) || strings.Contains(r.out+r.errOut, linkToken) {
			t.Errorf("%s: the output has the PIN or the token", way)
		}
		if len(p.decisions) != 1 || p.decisions[0]["pin"] != thePIN || p.decisions[0]["view_hash"] != "the-hash" || p.decisions[0]["decision"] != "approve" {
			t.Errorf("%s: sent %v", way, p.decisions)
		}
	}
}

func TestApproveDenySendsNoPIN(t *testing.T) {
	p, link := newPage(t, `{"status":"denied","reason":"person"}`)
	p.view["pin"] = map[string]any{"state": "not_set"}
	if r := runs(t, thePIN+"\n", "approve", "--deny", link).want(t, exitDone); !strings.Contains(r.out, "The request is denied.") {
		t.Errorf("got %q", r.out)
	}
	if _, sent := p.decisions[0]["pin"]; sent || p.decisions[0]["decision"] != "deny" {
		t.Errorf("sent %v", p.decisions)
	}
}

func TestApproveFailsUnlessApproved(t *testing.T) {
	for _, rule := range []struct{ name, answer, in, want string }{
		{"wrong PIN", `{"status":"pending","error":"invalid_pin","remaining_tries":1}`, thePIN + "\n4378\n", "one more wrong PIN ends the link"},
		{"second wrong PIN", `{"status":"denied","reason":"wrong_pin","error":"invalid_pin"}`, thePIN, "no further attempt"},
		{"locked", `{"status":"pending","error":"pin_locked","locked_until":"2026-01-31T12:00:00Z"}`, thePIN, "locked until"},
		{"deactivated", `{"status":"pending","error":"pin_inactive"}`, thePIN, "deactivated"},
		{"removed", `{"status":"pending","error":"pin_not_set"}`, thePIN, "no PIN"},
		{"lost race", `{"status":"expired"}`, thePIN, "the request is expired"},
		{"no PIN typed", ``, "", "nothing was decided"},
		{"not an answer", `<html>`, thePIN, "not the answer of a Countersign server"},
	} {
		p, link := newPage(t, rule.answer)
		r := runs(t, rule.in, "approve", link).want(t, exitFailed)
		if !strings.Contains(r.errOut, rule.want) || strings.Contains(r.out+r.errOut, thePIN) {
			t.Errorf("%s: %q", rule.name, r.errOut)
		}
		if want := min(len(rule.answer), 1); len(p.decisions) != want { // without a terminal, at most one PIN is sent
			t.Errorf("%s: %d decisions", rule.name, len(p.decisions))
		}
	}
}

func TestApproveSendsNoPINThatCannotCount(t *testing.T) {
	for _, rule := range []struct {
		field string
		value any
		want  string
	}{
		{"status", "used", "this approval is used"},
		{"pin", map[string]any{"state": "not_set"}, "enrolment link"},
		{"pin", map[string]any{"state": "locked", "locked_until": "2026-01-31T12:00:00Z"}, "locked until"},
		{"pin", map[string]any{"state": "inactive"}, "deactivated"},
		{"known_browser_required", true, "browser"},
	} {
		p, link := newPage(t)
		p.view[rule.field] = rule.value
		if r := runs(t, thePIN+"\n", "approve", link).want(t, exitFailed); !strings.Contains(r.errOut, rule.want) || len(p.decisions) != 0 {
			t.Errorf("%s %v: %q, sent %v", rule.field, rule.value, r.errOut, p.decisions)
		}
	}
}

// A text from the agent must not write to the terminal: escape sequences, line ends, reversed text.
func TestApproveShowsHostileTextsWithoutControlCharacters(t *testing.T) {
	const hostile = "a\x1b[2J\x1b]0;title\a\r\nAmount: 1\u202e\u200b\u009b\u2028\tz"
	p, link := newPage(t, `{"status":"approved"}`)
	for _, name := range []string{"instance_name", "customer_name", "requester", "audience", "title", "note"} {
		p.view[name] = hostile
	}
	p.view["grants"], p.view["session"] = "session", map[string]any{"skills": []string{hostile}, "minutes": 30}
	p.view["summary_parts"] = []map[string]any{{"text": hostile}, {"value": hostile, "flags": []string{hostile}}}
	p.view["arguments"] = []map[string]any{{"path": hostile, "value": hostile, "flags": []string{hostile}}}
	r := runs(t, thePIN+"\n", "approve", link).want(t, exitDone)
	refused := runs(t, "", "approve", strings.Replace(link, "canary", "other", 1)).want(t, exitFailed)
	p.view["status"], p.view["reason"] = hostile, hostile
	decided := runs(t, "", "approve", link).want(t, exitFailed)
	if strings.Count(r.out, "Amount: 1") != 14 || strings.Contains(r.out, "\nAmount") {
		t.Errorf("a text is missing or broke its line:\n%s", r.out)
	}
	for _, char := range r.out + refused.errOut + decided.errOut {
		if char != '\n' && !unicode.IsPrint(char) {
			t.Errorf("%U is in the output", char)
		}
	}
}

func TestApproveFollowsNoRedirect(t *testing.T) {
	other, _ := newPage(t, `{"status":"approved"}`)
	elsewhere := httptest.NewServer(other)
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	r := runs(t, thePIN+"\n", "approve", server.URL+"/approve#"+linkToken).want(t, exitFailed)
	if len(other.decisions) != 0 || !strings.Contains(r.errOut, "307") {
		t.Errorf("%q, sent %v", r.errOut, other.decisions)
	}
}

func TestApproveURLReplacesTheServerOfTheLink(t *testing.T) {
	p, link := newPage(t, `{"status":"approved"}`)
	server := strings.TrimSuffix(link, "/approve#"+linkToken)
	runs(t, thePIN+"\n", "approve", "--url", server+"/", "https://unreachable.invalid/approve#"+linkToken).want(t, exitDone)
	if len(p.decisions) != 1 {
		t.Errorf("sent %v", p.decisions)
	}
}
