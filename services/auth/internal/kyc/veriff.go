package kyc

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Veriff has the settings of Veriff. Each integration, also a test integration, has its own secret. Only its events about
// decisions are used. They have no id: a session can have several decisions.
type Veriff struct {
	Secrets []string `envconfig:"KYC_VERIFF_SECRET"`
	// Levels are the API keys of the integrations, which Veriff sends in X-AUTH-CLIENT, whose approval counts. Default: every
	// integration.
	Levels []string `envconfig:"KYC_VERIFF_LEVELS"`
}

func (v Veriff) vendor() vendor {
	return vendor{
		name: "veriff", secrets: v.Secrets, levels: v.Levels, headers: []string{"X-HMAC-SIGNATURE", "X-AUTH-CLIENT"}, levelHeader: "X-AUTH-CLIENT",
		verify: verifyVeriff, read: readVeriff, timeLayout: time.RFC3339,
	}
}

func verifyVeriff(secret string, h http.Header, body []byte, _ time.Time) bool {
	return isHMAC(single(h, "X-HMAC-SIGNATURE"), sha256.New, secret, body)
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
			AcceptanceTime string `json:"acceptanceTime"` // when the session began; an abandoned session has no other time
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
