package hold_test

import (
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
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
