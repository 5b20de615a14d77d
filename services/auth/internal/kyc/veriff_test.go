package kyc

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

const veriffBody = `{"status":"success","verification":{"id":"12df6045","code":9001,"person":{"firstName":"Canary"},"status":"%s","reasonCode":%s,` +
	`"vendorData":"%s","decisionTime":%s,"acceptanceTime":"2024-11-06T07:00:00.000Z"}}`

// veriffEvent is an event about recordedUser.
func veriffEvent(status, reason, decisionTime string) string {
	return fmt.Sprintf(veriffBody, status, reason, recordedUser, decisionTime)
}

var veriffSample = sample{
	sign: func(secret, body string, _ time.Time) http.Header {
		return header("X-HMAC-SIGNATURE", hexMAC(sha256.New, secret, body))
	},
	approved: func(user uuid.UUID, at time.Time) string {
		return fmt.Sprintf(veriffBody, "approved", "null", user, `"`+at.UTC().Format(time.RFC3339Nano)+`"`)
	},
}

// The signature is the example in Veriff's documentation.
func TestVeriffSignatures(t *testing.T) {
	const (
		key  = "abcdef12-abcd-abcd-abcd-abcdef012345"
		hex  = "0dcab73ddd20062616d104231c7439657546a5c24e4691977da93bb854c31e25"
		body = `{"verification":{"callback":"https://veriff.com","person":{"firstName":"John","lastName":"Smith"},"document":{"type":"PASSPORT","country":"EE"},"vendorData":"unique id of the end-user","timestamp":"2016-05-19T08:30:25.597Z"}}`
	)
	reordered := strings.Replace(body, `{"type":"PASSPORT","country":"EE"}`, `{"country":"EE","type":"PASSPORT"}`, 1)
	checkSignatures(t, Veriff{}.vendor(), []signatureCase{
		{"valid", key, header("X-HMAC-SIGNATURE", hex), body, signedAt, true},
		{"in capitals", key, header("X-HMAC-SIGNATURE", strings.ToUpper(hex)), body, signedAt, true},
		{"the same fields in another order", key, header("X-HMAC-SIGNATURE", hex), reordered, signedAt, false},
		{"another secret", "SoMe_SeCrEt_KeY", header("X-HMAC-SIGNATURE", hex), body, signedAt, false},
		{"only the client's key", key, header("X-AUTH-CLIENT", key), body, signedAt, false},
	})
}

func TestVeriffEvents(t *testing.T) {
	const decided = `"2024-11-06T07:17:36.916Z"`
	const at = "2024-11-06T07:17:36.916Z"
	checkEvents(t, Veriff{}.vendor(), []eventCase{
		{veriffEvent("approved", `null`, decided), Approved, at, nil},
		{strings.Replace(veriffEvent("approved", `null`, decided), recordedUser, strings.ToUpper(recordedUser), 1), Approved, at, nil},
		{veriffEvent("declined", `106`, decided), Rejected, at, []string{"106"}},
		{veriffEvent("resubmission_requested", `201`, decided), Resubmission, at, []string{"201"}},
		{veriffEvent("abandoned", `null`, `null`), Resubmission, "2024-11-06T07:00:00Z", nil},
		{veriffEvent("review", `null`, decided), InReview, at, nil},
		{`{"id":"12df6045","action":"submitted","code":7002,"vendorData":"` + recordedUser + `"}`, "", "", nil},
	})
}
