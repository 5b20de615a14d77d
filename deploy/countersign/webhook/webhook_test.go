package webhook

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The signature for Veriff is the example in Veriff's documentation. openssl computed the others.
func TestVendorSignatures(t *testing.T) {
	t.Parallel()
	const decision = `{"verification":{"callback":"https://veriff.com","person":{"firstName":"John","lastName":"Smith"},"document":{"type":"PASSPORT","country":"EE"},"vendorData":"unique id of the end-user","timestamp":"2016-05-19T08:30:25.597Z"}}`
	for _, c := range []struct{ vendor, secret, body, header, want string }{
		{"sumsub", "SoMe_SeCrEt_KeY", "someText", "X-Payload-Digest", "7f3beedce7529616a9d6bba59dc1b054a7247cef67f6acff2600864399f47fe0"},
		{"persona", "wbhsec_new", `{"data":{"id":"evt_1"}}`, "Persona-Signature", "t=1700000000,v1=32405cf218740b50ca008f9dbb4cb3fa8ae96b4a2d719e6ee4ca6643b8e5d52f"},
		{"onfido", "onfido-token", `{"payload":{"action":"workflow_run.completed"}}`, "X-SHA2-Signature", "f373386c045f357ec093a8595f27e6849d4bf70fce82e0c5dba80dcfe8f26597"},
		{"veriff", "abcdef12-abcd-abcd-abcd-abcdef012345", decision, "X-HMAC-SIGNATURE", "0dcab73ddd20062616d104231c7439657546a5c24e4691977da93bb854c31e25"},
	} {
		if got := Sign(c.vendor, c.secret, []byte(c.body), time.Unix(1700000000, 0)).Get(c.header); got != c.want {
			t.Errorf("%s: %s", c.vendor, got)
		}
	}
}

func TestBodyOfEveryVendorAndStatus(t *testing.T) {
	t.Parallel()
	user := uuid.New()
	for _, vendor := range []string{"sumsub", "persona", "onfido", "veriff"} {
		for _, status := range Statuses {
			body, err := Body(vendor, Event{ID: "evt_1", User: user, Status: status, At: time.Now()})
			if absent := vendor == "veriff" && status == "pending"; absent != (err != nil) || !absent && !strings.Contains(string(body), user.String()) {
				t.Errorf("%s, %s: %s, %v", vendor, status, body, err)
			}
		}
		if _, err := Body(vendor, Event{ID: "evt_1", User: user, Status: "nonsense", At: time.Now()}); err == nil {
			t.Errorf("%s: Body accepted an unknown status", vendor)
		}
	}
	if _, err := Body("unknown", Event{Status: "approved"}); err == nil {
		t.Error("Body accepted an unknown vendor")
	}
}
