package kyc

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// veriff is heard about decisions. A session may have several, so that its id names no event.
var veriff = vendor{
	name: "veriff", headers: []string{"X-HMAC-SIGNATURE", "X-AUTH-CLIENT"},
	secrets: func(c Config) []string { return c.Veriff },
	signed:  veriffSigned, read: readVeriff, clock: time.RFC3339,
}

func veriffSigned(secret string, h http.Header, body []byte, _ time.Time) bool {
	return hmacIs(only(h, "X-HMAC-SIGNATURE"), sha256.New, secret, body)
}

var veriffDecisions = map[string]Status{
	"approved":               Approved,
	"declined":               Rejected,
	"resubmission_requested": Resubmission,
	"expired":                Resubmission,
	"abandoned":              Resubmission,
	"review":                 InReview,
}

func readVeriff(body []byte) (report, error) {
	var p struct {
		Verification struct {
			Status         string `json:"status"`
			VendorData     string `json:"vendorData"`
			DecisionTime   string `json:"decisionTime"`
			AcceptanceTime string `json:"acceptanceTime"` // when the session began, which is all that an abandoned one has
			ReasonCode     int    `json:"reasonCode"`
		} `json:"verification"`
	}
	err := json.Unmarshal(body, &p)
	v := p.Verification
	r := report{kind: v.Status, status: veriffDecisions[v.Status], user: v.VendorData, at: cmp.Or(v.DecisionTime, v.AcceptanceTime)}
	if v.ReasonCode != 0 {
		r.labels = []string{strconv.Itoa(v.ReasonCode)}
	}
	return r, err
}
