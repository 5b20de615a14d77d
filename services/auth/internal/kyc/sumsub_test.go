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

const sumsubBody = `{"applicantId":"5cb56e8e0a975a35f333cb83","inspectionId":"5cb56e8e0a975a35f333cb84","correlationId":"req-a260b669","levelName":"basic-kyc-level",` +
	`"externalUserId":"%s","type":"%s","reviewResult":%s,"reviewStatus":"completed","createdAtMs":"%s"}`

// with adds fields to an event.
func with(event, fields string) string { return "{" + fields + "," + event[1:] }

// sumsubEvent is an event about recordedUser.
func sumsubEvent(kind, result string) string {
	return fmt.Sprintf(sumsubBody, recordedUser, kind, result, "2020-02-21 13:23:19.321")
}

var sumsubGreen = sumsubEvent("applicantReviewed", `{"reviewAnswer":"GREEN"}`)

func sumsubDigest(digest, algorithm string) http.Header {
	return http.Header{"X-Payload-Digest": {digest}, "X-Payload-Digest-Alg": {algorithm}}
}

var sumsubSample = sample{
	sign: func(secret, body string, _ time.Time) http.Header {
		return sumsubDigest(hexMAC(sha256.New, secret, body), "HMAC_SHA256_HEX")
	},
	approved: func(user uuid.UUID, at time.Time) string {
		return fmt.Sprintf(sumsubBody, user, "applicantReviewed", `{"reviewAnswer":"GREEN"}`, at.UTC().Format("2006-01-02 15:04:05.000"))
	},
}

// The SHA-1 digest is the example in Sumsub's documentation. openssl computed the others.
func TestSumsubSignatures(t *testing.T) {
	const (
		key       = "SoMe_SeCrEt_KeY"
		sha1Hex   = "f6e92ffe371718694d46e28436f76589312df8db"
		sha256Hex = "7f3beedce7529616a9d6bba59dc1b054a7247cef67f6acff2600864399f47fe0"
		sha512Hex = "3aae08986027051ca0656d87c4c95f1f15d3ecaf23cf239e5a43fd03a8af28223a06be1f97624caefd55475c84673773dc10e895a1ab885a3548c58bd7af9ebf"
	)
	checkSignatures(t, Sumsub{}.vendor(), []signatureCase{
		{"SHA-1", key, sumsubDigest(sha1Hex, "HMAC_SHA1_HEX"), "someText", signedAt, true},
		{"SHA-256", key, sumsubDigest(sha256Hex, "HMAC_SHA256_HEX"), "someText", signedAt, true},
		{"SHA-512", key, sumsubDigest(sha512Hex, "HMAC_SHA512_HEX"), "someText", signedAt, true},
		{"another algorithm than the header names", key, sumsubDigest(sha256Hex, "HMAC_SHA1_HEX"), "someText", signedAt, false},
		{"an unknown algorithm", key, sumsubDigest(sha256Hex, "HMAC_MD5_HEX"), "someText", signedAt, false},
		{"no algorithm", key, header("X-Payload-Digest", sha256Hex), "someText", signedAt, false},
		{"no digest", key, header("X-Payload-Digest-Alg", "HMAC_SHA256_HEX"), "someText", signedAt, false},
		{"an empty digest", key, sumsubDigest("", "HMAC_SHA256_HEX"), "someText", signedAt, false},
		{"the first half of a digest", key, sumsubDigest(sha256Hex[:32], "HMAC_SHA256_HEX"), "someText", signedAt, false},
		{"a digest that is not hexadecimal", key, sumsubDigest(strings.Repeat("z", 64), "HMAC_SHA256_HEX"), "someText", signedAt, false},
		{"another body", key, sumsubDigest(sha256Hex, "HMAC_SHA256_HEX"), "someText ", signedAt, false},
		{"another secret", "some_secret_key", sumsubDigest(sha256Hex, "HMAC_SHA256_HEX"), "someText", signedAt, false},
		{"two digests", key, http.Header{"X-Payload-Digest": {sha256Hex, sha256Hex}, "X-Payload-Digest-Alg": {"HMAC_SHA256_HEX"}}, "someText", signedAt, false},
	})
}

func TestSumsubEvents(t *testing.T) {
	const at = "2020-02-21T13:23:19.321Z"
	checkEvents(t, Sumsub{}.vendor(), []eventCase{
		{sumsubEvent("applicantCreated", `null`), Pending, at, nil},
		{sumsubEvent("applicantPending", `{}`), Pending, at, nil},
		{sumsubEvent("applicantPrechecked", `{}`), InReview, at, nil},
		{sumsubEvent("applicantOnHold", `{"reviewAnswer":"GREEN"}`), OnHold, at, nil},
		{sumsubEvent("applicantReset", `{}`), NotStarted, at, nil},
		{sumsubEvent("applicantReviewed", `{"reviewAnswer":"GREEN"}`), Approved, at, nil},
		{sumsubEvent("applicantReviewed", `{"reviewAnswer":"RED","reviewRejectType":"RETRY","rejectLabels":["DOCUMENT_PAGE_MISSING","BAD_SELFIE"]}`),
			Resubmission, at, []string{"DOCUMENT_PAGE_MISSING", "BAD_SELFIE"}},
		{sumsubEvent("applicantReviewed", `{"reviewAnswer":"RED","reviewRejectType":"FINAL","rejectLabels":["FORGERY","What a person wrote","a\u0000b"]}`),
			Rejected, at, []string{"FORGERY"}},
		{sumsubEvent("applicantReviewed", `{"reviewAnswer":"RED"}`), Rejected, at, nil},
		{sumsubEvent("applicantReviewed", `{"reviewAnswer":"green"}`), InReview, at, nil},
		{sumsubEvent("applicantReviewed", `null`), InReview, at, nil},
		{sumsubEvent("applicantDeactivated", `{"reviewAnswer":"GREEN"}`), OnHold, at, nil},
		{sumsubEvent("applicantActivated", `{"reviewAnswer":"GREEN"}`), "", "", nil},
		{with(sumsubGreen, `"sandboxMode":false,"applicantType":"individual"`), Approved, at, nil},
		{with(sumsubGreen, `"sandboxMode":null,"applicantType":null`), Approved, at, nil},
		{with(sumsubGreen, `"sandboxMode":true`), "", "", nil},
		{with(sumsubGreen, `"applicantType":"company"`), "", "", nil},
		{with(sumsubGreen, `"applicantType":"Individual"`), "", "", nil},
		{with(sumsubEvent("applicantReset", `{}`), `"sandboxMode":true`), "", "", nil},
		{sumsubEvent("applicantActionReviewed", `{"reviewAnswer":"GREEN"}`), "", "", nil},
		{sumsubEvent("somethingNew", `"in another form"`), "", "", nil},
	})
}

// Several events have the same correlationId, and all events of a person the same applicantId.
func TestSumsubEventsAreIdentifiedByTheirBody(t *testing.T) {
	t.Parallel()
	v := Sumsub{}.vendor()
	if v.eventIDOf(t, sumsubEvent("applicantPending", "{}")) == v.eventIDOf(t, sumsubGreen) {
		t.Error("two events have one id")
	}
}
