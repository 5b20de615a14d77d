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

const personaBody = `{"data":{"type":"event","id":"%s","attributes":{"name":"%s","payload":{"data":{"type":"inquiry","id":"inq_2CVZ4HyVg7qaboXz",` +
	`"attributes":{"status":"approved","reference-id":"%s","name-first":"Canary"},"relationships":{"inquiry-template":{"data":{"type":"inquiry-template","id":"itmpl_known"}}}}},"created-at":"%s"}}}`

// personaEvent is an event about recordedUser.
func personaEvent(name string) string {
	return fmt.Sprintf(personaBody, "evt_XGuXo1Rj9Yr7Z3", name, recordedUser, "2021-05-14T16:00:25.032Z")
}

var personaSample = sample{
	sign: func(secret, body string, now time.Time) http.Header {
		return header("Persona-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix(), hexMAC(sha256.New, secret, fmt.Sprintf("%d.%s", now.Unix(), body))))
	},
	approved: func(user uuid.UUID, at time.Time) string {
		return fmt.Sprintf(personaBody, "evt_"+strings.ReplaceAll(uuid.NewString(), "-", ""), "inquiry.approved", user, at.UTC().Format(time.RFC3339Nano))
	},
}

// openssl computed the signatures.
func TestPersonaSignatures(t *testing.T) {
	const (
		body   = `{"data":{"id":"evt_1"}}`
		newHex = "32405cf218740b50ca008f9dbb4cb3fa8ae96b4a2d719e6ee4ca6643b8e5d52f"
		oldHex = "aff3b6fab14b90f0bf18fbf69e1be996d2e0a871c97180506c5335ab04ce96c8"
		newSet = "t=1700000000,v1=" + newHex
		oldSet = "t=1700000000,v1=" + oldHex
	)
	in := func(values ...string) http.Header { return header("Persona-Signature", values...) }
	checkSignatures(t, Persona{}.vendor(), []signatureCase{
		{"one signature", "wbhsec_new", in(newSet), body, signedAt, true},
		{"two signatures, the new secret", "wbhsec_new", in(newSet + " " + oldSet), body, signedAt, true},
		{"two signatures, the old secret", "wbhsec_old", in(newSet + " " + oldSet), body, signedAt, true},
		{"two signatures, another secret", "wbhsec_other", in(newSet + " " + oldSet), body, signedAt, false},
		{"three signatures", "wbhsec_new", in(newSet + " " + oldSet + " " + oldSet), body, signedAt, false},
		{"two headers", "wbhsec_new", in(newSet, oldSet), body, signedAt, false},
		{"300 seconds old", "wbhsec_new", in(newSet), body, signedAt.Add(300 * time.Second), true},
		{"301 seconds old", "wbhsec_new", in(newSet), body, signedAt.Add(301 * time.Second), false},
		{"300 seconds in the future", "wbhsec_new", in(newSet), body, signedAt.Add(-300 * time.Second), true},
		{"301 seconds in the future", "wbhsec_new", in(newSet), body, signedAt.Add(-301 * time.Second), false},
		{"another time than the signed one", "wbhsec_new", in("t=1700000100,v1=" + newHex), body, signedAt.Add(100 * time.Second), false},
		{"no time", "wbhsec_new", in("v1=" + newHex), body, signedAt, false},
		{"the largest time", "wbhsec_new", in("t=9223372036854775807,v1=" + newHex), body, signedAt, false},
		{"no signature", "wbhsec_new", in("t=1700000000"), body, signedAt, false},
		{"another version", "wbhsec_new", in("t=1700000000,v0=" + newHex), body, signedAt, false},
		{"the same JSON in another encoding", "wbhsec_new", in(newSet), `{"data": {"id":"evt_1"}}`, signedAt, false},
	})
}

func TestPersonaEvents(t *testing.T) {
	const at = "2021-05-14T16:00:25.032Z"
	checkEvents(t, Persona{}.vendor(), []eventCase{
		{personaEvent("inquiry.started"), Pending, at, nil},
		{personaEvent("inquiry.completed"), InReview, at, nil},
		{personaEvent("inquiry.approved"), Approved, at, nil},
		{personaEvent("inquiry.declined"), Rejected, at, nil},
		{personaEvent("inquiry.expired"), Resubmission, at, nil},
		{personaEvent("account.archived"), OnHold, at, nil},
		{personaEvent("verification.passed"), "", "", nil},
	})
}

func TestPersonaEventIDs(t *testing.T) {
	t.Parallel()
	v, approved := Persona{}.vendor(), personaEvent("inquiry.approved")
	if got := v.eventIDOf(t, approved); got != "evt_XGuXo1Rj9Yr7Z3" {
		t.Errorf("got %s", got)
	}
	for _, malformed := range []string{"", "evt\\u0000", "sha256:0", strings.Repeat("x", 300)} {
		if got := v.eventIDOf(t, strings.Replace(approved, "evt_XGuXo1Rj9Yr7Z3", malformed, 1)); !strings.HasPrefix(got, "sha256:") || len(got) != 71 {
			t.Errorf("%q: %s", malformed, got)
		}
	}
}
