package hold_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
)

func TestExplainSaysWhyAnApprovalEnded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		refusal client.Refusal
		want    string
	}{
		{client.Refusal{Code: client.Expired}, "The person did not answer in time. Call again to get a new link."},
		{client.Refusal{Code: client.Expired, Reason: "pin_changed"}, "The PIN was changed, locked or removed after the approval. Call again to get a new link."},
		{client.Refusal{Code: client.Denied, Reason: "person"}, "The person denied this call. Do not try it again."},
		{client.Refusal{Code: client.Denied, Reason: "wrong_pin"}, "The link was closed after wrong PINs. Call again to get a new link."},
		{client.Refusal{Code: client.RateLimited}, "Too many approvals were requested. Do not call again."},
		{client.Refusal{Code: client.RateLimited, RetryAfter: 20 * time.Second}, "Too many approvals were requested. Do not call again within the next minute."},
		{client.Refusal{Code: client.RateLimited, RetryAfter: time.Minute}, "Too many approvals were requested. Do not call again within the next minute."},
		{client.Refusal{Code: client.RateLimited, RetryAfter: 61 * time.Second}, "Too many approvals were requested. Do not call again within the next 2 minutes."},
		{client.Refusal{Code: client.RateLimited, RetryAfter: 5 * time.Minute}, "Too many approvals were requested. Do not call again within the next 5 minutes."},
	} {
		if got := hold.Explain(&test.refusal); got != hold.NotExecuted+test.want {
			t.Errorf("%+v: %q", test.refusal, got)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	_, h := start(t)
	_, invalid := h.Await(t.Context(), call("transfer", `{"canary-value":1,"a":1,"a":"canary-value"}`), client.Approval{ID: "unknown"})
	if text := hold.Explain(invalid); !strings.HasPrefix(text, hold.NotExecuted) {
		t.Errorf("%q", text)
	}
	for _, err := range []error{
		errors.New("canary"), context.DeadlineExceeded, errors.Join(errors.New("canary"), client.Denied),
		&client.Refusal{Code: client.PINLocked}, &client.Refusal{Code: "status_403"}, &client.Refusal{Code: client.Denied, Reason: "wrong_pin"},
		&client.Refusal{Code: client.Unauthorized, Detail: "canary"}, &client.Refusal{Code: client.NotFound, Detail: "canary"},
	} {
		if text := hold.Explain(err); !strings.HasPrefix(text, hold.NotExecuted) || strings.Contains(text, "canary") || !strings.HasSuffix(text, ".") {
			t.Errorf("%v: %q", err, text)
		}
	}
}

func TestExplainOfArgumentsRepeatsNoValue(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	for _, arguments := range []string{`{"amount":9007199254740993}`, `{"a":"canary","a":"canary"}`, `"canary"`, `{"a":"canary`, `{"a":"` + strings.Repeat("canary", 5000) + `"}`} {
		_, err := h.Decide(t.Context(), hold.Call{Person: client.Person{Customer: clienttest.Customer}, Skill: "transfer", Arguments: json.RawMessage(arguments)})
		text := hold.Explain(err)
		if !strings.Contains(text, "its arguments cannot be approved: the arguments") && !strings.Contains(text, "its arguments cannot be approved: arguments") || strings.Contains(text, "canary") || strings.Contains(text, "9007") {
			t.Errorf("%.40s: %q", arguments, text)
		}
	}
	if len(d.Approvals()) != 0 {
		t.Error("an approval was asked for")
	}
}

func TestExplainSaysUntilWhen(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"Too many approvals were requested. Do not call again within the next 30 minutes.":                            &client.Refusal{Code: client.RateLimited, RetryAfter: 29*time.Minute + time.Second},
		"Too many approvals were requested. Do not call again.":                                                       &client.Refusal{Code: client.RateLimited},
		"The person denied this call a short time ago. Do not try it again within the next minute.":                   &client.Refusal{Code: client.DeniedRecently, RetryAfter: time.Second},
		"The PIN of the person is locked until 2026-01-31 12:15 UTC.":                                                 &client.Refusal{Code: client.PINLocked, LockedUntil: time.Date(2026, 1, 31, 12, 15, 0, 0, time.UTC)},
		"Countersign refused this call: audience: The skill is registered with another audience.":                     &client.Refusal{Code: client.Invalid, Detail: "audience: The skill is registered with another audience"},
		"Countersign, which must allow this call, cannot be reached or did not give a valid answer. Try again later.": errors.New("x"),
	} {
		if got := hold.Explain(err); got != hold.NotExecuted+want {
			t.Errorf("%v: %q", err, got)
		}
	}
}
