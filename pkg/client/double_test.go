package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// double answers like pin-internal. It has at most one approval.
type double struct {
	mu       sync.Mutex
	status   string // status of the approval; empty: it was not asked for
	reason   string
	useID    string
	argument string
	session  bool
	// decide is what the person does when the link is shown.
	decide string
	// failures are answered instead of the next requests.
	failures []failure
	requests []string
}

// Double returns a double of pin-internal whose person approves, for the examples.
func Double() http.Handler { return &double{decide: "approved"} }

type failure struct {
	status     int
	code, body string
	retryAfter string
	location   string
	lost       bool // the request has its effect, but the connection breaks before the answer
}

const (
	proxyKey = "csp_canary_proxy_key"
	link     = "https://countersign.example/approve#cap_canary_link"
	receipt1 = "receipt.canary.1"
)

func (d *double) answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	if code, ok := body["code"].(string); ok {
		w.Header().Set("X-Error-Code", code)
	}
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path, found := strings.CutPrefix(r.URL.Path, "/internal/v1/instances/instance-1/approvals")
	d.requests = append(d.requests, r.Method+" "+path)
	if !found || r.Header.Get("Authorization") != "Bearer "+proxyKey {
		d.answer(w, http.StatusUnauthorized, map[string]any{"detail": "Invalid credential"})
		return
	}
	if len(d.failures) > 0 {
		f := d.failures[0]
		d.failures = d.failures[1:]
		if f.lost {
			d.serve(httptest.NewRecorder(), r, path)
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Error-Code", f.code)
		if f.retryAfter != "" {
			w.Header().Set("Retry-After", f.retryAfter)
		}
		if f.location != "" {
			w.Header().Set("Location", f.location)
		}
		w.WriteHeader(f.status)
		_, _ = w.Write([]byte(f.body))
		return
	}
	d.serve(w, r, path)
}

func (d *double) serve(w http.ResponseWriter, r *http.Request, path string) {
	var body struct {
		Customer  string          `json:"customer_id"`
		Skill     string          `json:"skill"`
		Arguments json.RawMessage `json:"arguments"`
		UseID     string          `json:"use_id"`
	}
	if r.Method == http.MethodPost && !strings.HasSuffix(path, "/cancel") {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			d.answer(w, http.StatusUnprocessableEntity, map[string]any{"detail": []any{map[string]any{"loc": []any{"body"}, "msg": "JSON decode error"}}})
			return
		}
	}
	conflict := func(code string) {
		d.answer(w, http.StatusConflict, map[string]any{"detail": "The approval is " + code, "code": code})
	}
	switch {
	case path == "" && (body.Skill == "weather.read" || r.Header.Get("X-Pin-Session") == "cst_canary_session"):
		d.answer(w, http.StatusOK, map[string]any{"status": "not_required", "reason": "skill_not_protected"})
	case path == "":
		d.status, d.argument = "pending", string(body.Arguments)
		d.answer(w, http.StatusCreated, d.approval())
	case path == "/approval-1" && r.Method == http.MethodGet:
		if d.status == "pending" && d.decide != "" {
			d.status = d.decide
			if d.decide == "denied" {
				d.reason = "person"
			}
		}
		d.answer(w, http.StatusOK, d.approval())
	case path == "/approval-1/use" && string(body.Arguments) != d.argument:
		conflict("action_mismatch")
	case path == "/approval-1/use" && d.status == "approved", path == "/approval-1/use" && d.status == "used" && d.useID == body.UseID:
		d.status, d.useID = "used", body.UseID
		if d.session {
			d.answer(w, http.StatusOK, map[string]any{"session_token": "cst_canary_session", "session_expires_at": "2026-01-31T12:30:00Z"})
		} else {
			d.answer(w, http.StatusOK, map[string]any{"receipt": receipt1, "action_hash": "abcd", "used_at": "2026-01-31T12:00:00Z"})
		}
	case path == "/approval-1/use":
		conflict("approval_" + d.status)
	case path == "/approval-1/cancel":
		d.status = "cancelled"
		d.answer(w, http.StatusNoContent, nil)
	default:
		d.answer(w, http.StatusNotFound, map[string]any{"detail": "No such approval"})
	}
}

func (d *double) approval() map[string]any {
	a := map[string]any{
		"id": "approval-1", "status": d.status, "grants": "action", "skill": "payments.transfer", "url": nil, "action_hash": "abcd",
		"summary": "Send 250.00 EUR to Bob", "reason": nil, "created_at": "2026-01-31T11:59:00Z", "expires_at": "2026-01-31T12:09:00Z",
	}
	if d.status == "pending" {
		a["url"] = link
	}
	if d.reason != "" {
		a["reason"] = d.reason
	}
	return a
}

func (d *double) seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.requests...)
}

// start serves the double and returns a client whose pauses take no time, and the pauses that it made.
func start(t testing.TB, d *double) (*Client, *pauses) {
	t.Helper()
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	c, err := New(Config{URL: server.URL + "/", Instance: "instance-1", ProxyKey: NewSecret(proxyKey)})
	if err != nil {
		t.Fatal(err)
	}
	made := &pauses{}
	c.pause = made.add
	return c, made
}

type pauses struct {
	mu   sync.Mutex
	each []time.Duration
}

func (p *pauses) add(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.each = append(p.each, d); len(p.each) == 50 {
		return errors.New("too many pauses")
	}
	return ctx.Err()
}
