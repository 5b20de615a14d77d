package kyc

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
)

const onfidoBody = `{"payload":{"resource_type":"workflow_run","action":"workflow_run.%s","object":{"id":"2f152409","status":"%s",%s"href":"https://api.onfido.com"},` +
	`"resource":{"id":"2f152409","workflow_id":"74ac8f4d","customer_user_id":"%s","reasons":["selfie_mismatch","The person is Canary Jones"]}}}`

// onfidoEvent is an event about recordedUser.
func onfidoEvent(action, status, times string) string {
	return fmt.Sprintf(onfidoBody, action, status, times, recordedUser)
}

var onfidoSample = sample{
	sign: func(secret, body string, _ time.Time) http.Header {
		return header("X-SHA2-Signature", hexMAC(sha256.New, secret, body))
	},
	approved: func(user uuid.UUID, at time.Time) string {
		return fmt.Sprintf(onfidoBody, "completed", "approved", fmt.Sprintf(`"completed_at_iso8601":%q,`, at.UTC().Format(time.RFC3339)), user)
	},
}

// openssl computed the signature.
func TestOnfidoSignatures(t *testing.T) {
	const (
		body = `{"payload":{"action":"workflow_run.completed"}}`
		hex  = "f373386c045f357ec093a8595f27e6849d4bf70fce82e0c5dba80dcfe8f26597"
	)
	checkSignatures(t, Onfido{}.vendor(), []signatureCase{
		{"valid", "onfido-token", header("X-SHA2-Signature", hex), body, signedAt, true},
		{"another body", "onfido-token", header("X-SHA2-Signature", hex), body + "\n", signedAt, false},
		{"another secret", "onfido", header("X-SHA2-Signature", hex), body, signedAt, false},
	})
}

func TestOnfidoEvents(t *testing.T) {
	mismatch := []string{"selfie_mismatch"}
	checkEvents(t, Onfido{}.vendor(), []eventCase{
		{onfidoEvent("started", "processing", `"started_at_iso8601":"2019-10-28T14:55:09Z",`), Pending, "2019-10-28T14:55:09Z", mismatch},
		{onfidoEvent("completed", "approved", `"started_at_iso8601":"2019-10-28T14:55:09Z","completed_at_iso8601":"2019-10-28T15:00:39Z",`), Approved, "2019-10-28T15:00:39Z", mismatch},
		{onfidoEvent("completed", "declined", `"completed_at_iso8601":"2019-10-28T15:00:39Z",`), Rejected, "2019-10-28T15:00:39Z", mismatch},
		{onfidoEvent("completed", "somehow", `"completed_at_iso8601":"2019-10-28T15:00:39Z",`), InReview, "2019-10-28T15:00:39Z", mismatch},
		{`{"payload":{"resource_type":"check","action":"check.completed","object":{"status":"complete"}}}`, "", "", nil},
	})
}
