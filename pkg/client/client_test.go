package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/action"
)

// transfer is an action that needs an approval.
func transfer(shown *[]Approval) Action {
	return Action{
		Customer: "customer-1", Skill: "payments.transfer", Arguments: map[string]any{"to": "Bob", "amount": "250.00"},
		Show: func(_ context.Context, a Approval) error {
			if shown != nil {
				*shown = append(*shown, a)
			}
			return nil
		},
	}
}

func TestConfirmReturnsReceipt(t *testing.T) {
	t.Parallel()
	d := &double{decide: "approved"}
	c, _ := start(t, d)
	var shown []Approval
	got, err := c.Confirm(t.Context(), transfer(&shown))
	if err != nil || got.Receipt.Reveal() != receipt1 || got.ApprovalID != "approval-1" || got.Arguments != `{"amount":"250.00","to":"Bob"}` || got.UsedAt.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	if len(shown) != 1 || shown[0].URL.Reveal() != link || shown[0].Summary != "Send 250.00 EUR to Bob" {
		t.Errorf("shown: %+v", shown)
	}
	want := []string{"POST ", "GET /approval-1", "POST /approval-1/use"}
	if seen := d.seen(); !slices.Equal(seen, want) {
		t.Errorf("requests %q, want %q", seen, want)
	}
	if len(d.useID) != 22 {
		t.Errorf("use id %q", d.useID)
	}
}

func TestConfirmReturnsSession(t *testing.T) {
	t.Parallel()
	d := &double{decide: "approved", session: true}
	c, _ := start(t, d)
	a := transfer(nil)
	got, err := c.Confirm(t.Context(), a)
	if err != nil || got.Session.Reveal() != "cst_canary_session" || got.SessionExpiresAt.IsZero() || got.Receipt.Reveal() != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	a.Session = got.Session
	if got, err = c.Confirm(t.Context(), a); err != nil || !got.NotRequired {
		t.Errorf("with the session: %+v, %v", got, err)
	}
}

func TestConfirmNotRequired(t *testing.T) {
	t.Parallel()
	c, _ := start(t, &double{})
	var shown []Approval
	a := transfer(&shown)
	a.Skill = "weather.read"
	got, err := c.Confirm(t.Context(), a)
	if err != nil || !got.NotRequired || got.Reason != "skill_not_protected" || got.Arguments == "" || len(shown) != 0 {
		t.Errorf("%+v, %v, shown %v", got, err, shown)
	}
}

func TestConfirmRefusals(t *testing.T) {
	t.Parallel()
	conflict := func(code, more string) failure {
		return failure{status: 409, code: code, body: `{"detail":"Not now","code":"` + code + `"` + more + `}`}
	}
	for _, test := range []struct {
		name    string
		double  *double
		want    Refusal
		request int // number of requests
	}{
		{"denied", &double{decide: "denied"}, Refusal{Code: Denied, Reason: "person"}, 2},
		{"expired", &double{decide: "expired"}, Refusal{Code: Expired}, 2},
		{"cancelled", &double{decide: "cancelled"}, Refusal{Code: Cancelled}, 2},
		{"used by another runtime", &double{decide: "used"}, Refusal{Code: Used}, 2},
		{"PIN not set", &double{failures: []failure{conflict("pin_not_set", "")}}, Refusal{Code: PINNotSet, Detail: "Not now", Status: 409}, 1},
		{"PIN locked", &double{failures: []failure{conflict("pin_locked", `,"locked_until":"2026-01-31T12:15:00Z"`)}},
			Refusal{Code: PINLocked, Detail: "Not now", Status: 409, LockedUntil: time.Date(2026, 1, 31, 12, 15, 0, 0, time.UTC)}, 1},
		{"denied recently", &double{failures: []failure{{status: 409, code: "denied_recently", retryAfter: "7"}}}, Refusal{Code: DeniedRecently, RetryAfter: 7 * time.Second, Status: 409}, 1},
		{"rate limited for a long time", &double{failures: []failure{{status: 429, code: "approvals_rate_limited", retryAfter: "1800"}}}, Refusal{Code: RateLimited, RetryAfter: 30 * time.Minute, Status: 429}, 1},
		{"unauthorized", &double{failures: []failure{{status: 401, code: "credential_invalid", body: `{"detail":"Invalid"}`}}}, Refusal{Code: Unauthorized, Detail: "Invalid", Status: 401}, 1},
		{"not found", &double{failures: []failure{{status: 404, code: "subject_not_found"}}}, Refusal{Code: NotFound, Status: 404}, 1},
		{"invalid", &double{failures: []failure{{status: 422, code: "invalid", body: `{"detail":[{"loc":["body","arguments","amount"],"msg":"Value error, Too large","type":"x"}]}`}}},
			Refusal{Code: Invalid, Detail: "arguments.amount: Too large", Status: 422}, 1},
		{"the answer of a proxy", &double{failures: []failure{{status: 403, body: "<html>"}}}, Refusal{Code: "status_403", Status: 403}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, pauses := start(t, test.double)
			got, err := c.Confirm(t.Context(), transfer(nil))
			var refusal *Refusal
			if !errors.As(err, &refusal) || *refusal != test.want || !errors.Is(err, test.want.Code) || got != (Confirmation{}) {
				t.Errorf("%+v, %v, want %+v", got, err, test.want)
			}
			if seen := test.double.seen(); len(seen) != test.request || len(pauses.each) != 0 {
				t.Errorf("requests %q, pauses %v", seen, pauses.each)
			}
		})
	}
}

func TestRequestsAreRepeated(t *testing.T) {
	t.Parallel()
	away := failure{status: 503, code: "sessions_away", retryAfter: "2"}
	d := &double{decide: "approved", failures: []failure{away, {status: 502}, {lost: true}, {status: 429, code: "x", retryAfter: "3"}, {status: 504}}}
	c, pauses := start(t, d)
	if _, err := c.Confirm(t.Context(), transfer(nil)); err != nil {
		t.Fatal(err)
	}
	if len(pauses.each) != 5 || pauses.each[0] != 2*time.Second || pauses.each[3] != 3*time.Second || pauses.each[2] < 2*time.Second || pauses.each[2] > 5*time.Second/2 {
		t.Errorf("pauses %v", pauses.each)
	}
}

func TestLostAnswerOfUseIsRepeatedWithTheSameUseID(t *testing.T) {
	t.Parallel()
	d := &double{status: "approved", argument: `{}`, failures: []failure{{lost: true}}}
	c, _ := start(t, d)
	got, err := c.Use(t.Context(), "approval-1", NewUseID(), nil)
	if err != nil || got.Receipt.Reveal() != receipt1 || len(d.seen()) != 2 {
		t.Errorf("%+v, %v, %q", got, err, d.seen())
	}
	if _, err = c.Use(t.Context(), "approval-1", NewUseID(), nil); !errors.Is(err, Used) {
		t.Errorf("another use id: %v", err)
	}
	if _, err = c.Use(t.Context(), "approval-1", d.useID, json.RawMessage(`{"a":1}`)); !errors.Is(err, ActionMismatch) {
		t.Errorf("other arguments: %v", err)
	}
}

func TestTriesAreLimited(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		failure  failure
		requests int
		timeout  time.Duration
	}{
		{"always 503", failure{status: 503, retryAfter: "1"}, tries, 0},
		{"Retry-After is longer than the deadline", failure{status: 503, retryAfter: "20"}, 1, 10 * time.Second},
		{"Retry-After is very long", failure{status: 503, retryAfter: "31"}, 1, 0},
		{"500", failure{status: 500}, 1, 0},
		{"redirect", failure{status: 302}, 1, 0},
		{"a page of another server", failure{status: 200, body: "<html>"}, 1, 0},
		{"a very long answer", failure{status: 200, body: `{"id":"` + strings.Repeat("a", maxAnswerBytes) + `"}`}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &double{failures: slices.Repeat([]failure{test.failure}, 20)}
			c, _ := start(t, d)
			ctx := t.Context()
			if test.timeout > 0 {
				var cancel func()
				ctx, cancel = context.WithTimeout(ctx, test.timeout)
				defer cancel()
			}
			_, err := c.Ask(ctx, transfer(nil))
			var refusal *Refusal
			if err == nil || errors.As(err, &refusal) || len(d.seen()) != test.requests {
				t.Errorf("%v after %d requests, want %d", err, len(d.seen()), test.requests)
			}
		})
	}
}

func TestConfirmCancelsWhenShowFails(t *testing.T) {
	t.Parallel()
	d := &double{}
	c, _ := start(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	failed := errors.New("the chat is gone")
	a := transfer(nil)
	a.Show = func(context.Context, Approval) error { cancel(); return failed }
	if _, err := c.Confirm(ctx, a); !errors.Is(err, failed) || d.status != "cancelled" {
		t.Errorf("%v, the approval is %s", err, d.status)
	}
	a.Show = nil
	if _, err := c.Confirm(t.Context(), a); err == nil || len(d.seen()) != 2 {
		t.Errorf("without Show: %v, %q", err, d.seen())
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	d := &double{status: "pending"}
	c, _ := start(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	rounds := 0
	c.pause = func(ctx context.Context, pause time.Duration) error {
		if rounds++; rounds == 3 {
			cancel()
		}
		if pause != time.Second {
			t.Errorf("pause %v", pause)
		}
		return ctx.Err()
	}
	if _, err := c.Wait(ctx, "approval-1"); !errors.Is(err, context.Canceled) || len(d.seen()) != 3 {
		t.Errorf("%v, %q", err, d.seen())
	}
	if _, err := c.Confirm(ctx, transfer(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("Confirm: %v", err)
	}
}

func TestArgumentsAreCheckedBeforeSending(t *testing.T) {
	t.Parallel()
	d := &double{}
	c, _ := start(t, d)
	for _, arguments := range []any{[]int{1}, map[string]int64{"a": 9007199254740993}, json.RawMessage(`{"a":1,"a":2}`), map[string]string{"a": strings.Repeat("x", action.MaxBytes)}} {
		a := transfer(nil)
		a.Arguments = arguments
		_, err := c.Confirm(t.Context(), a)
		var refused *action.Error
		if !errors.As(err, &refused) {
			t.Errorf("%.50v: %v", arguments, err)
		}
	}
	a := transfer(nil)
	a.Arguments = func() {}
	if _, err := c.Ask(t.Context(), a); err == nil {
		t.Error("a function as arguments is accepted")
	}
	if len(d.seen()) != 0 {
		t.Errorf("requests %q", d.seen())
	}
}

func TestNewRefusesConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{}, {URL: "http://a.example"}, {URL: "http://a.example", Instance: "i"}, {URL: "a.example", Instance: "i", ProxyKey: NewSecret("k")},
		{URL: "ftp://a.example", Instance: "i", ProxyKey: NewSecret("k")}, {URL: "http://u:p@a.example", Instance: "i", ProxyKey: NewSecret("k")},
		{URL: "http://a.example?x", Instance: "i", ProxyKey: NewSecret("k")},
	} {
		if _, err := New(c); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	var printed bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&printed, nil))
	show := func(values ...any) {
		for _, v := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&printed, verb+"\n", v)
			}
			encoded, _ := json.Marshal(v)
			printed.Write(encoded)
			log.Info("value", "value", v)
		}
	}
	d := &double{decide: "approved"}
	c, _ := start(t, d)
	var shown []Approval
	got, err := c.Confirm(t.Context(), transfer(&shown))
	show(got, &got, shown, c, *c, Config{ProxyKey: NewSecret(proxyKey)}, err)
	d.failures = slices.Repeat([]failure{{lost: true}}, tries)
	_, err = c.Ask(t.Context(), transfer(nil))
	show(err, Action{Session: NewSecret("cst_canary_session")})
	if err == nil {
		t.Error("no error without an answer")
	}
	if text := printed.String(); strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
		t.Errorf("a secret was printed:\n%s", text)
	}
}

func TestProxyKeyIsNotSentToARedirect(t *testing.T) {
	t.Parallel()
	other := &double{}
	target, _ := start(t, other)
	redirect := failure{status: http.StatusTemporaryRedirect, location: target.base}
	redirecting := &double{failures: []failure{redirect, redirect}}
	server := httptest.NewServer(redirecting)
	defer server.Close()
	for _, own := range []*http.Client{nil, {}} {
		c, err := New(Config{URL: server.URL, Instance: "instance-1", ProxyKey: NewSecret(proxyKey), HTTP: own})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Ask(t.Context(), transfer(nil)); err == nil || len(other.seen()) != 0 {
			t.Errorf("own client %t: %v, %q", own != nil, err, other.seen())
		}
	}
}
