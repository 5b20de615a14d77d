package kyc

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"hash"
	"net/http"
	"time"
)

// Sumsub has the settings of Sumsub. Its events have no id: an applicantId identifies the person, and several events can have
// the same correlationId.
type Sumsub struct {
	Secrets []string `envconfig:"KYC_SUMSUB_SECRET"`
	// Levels are the level names whose approval counts. Default: every level.
	Levels []string `envconfig:"KYC_SUMSUB_LEVELS"`
}

func (s Sumsub) vendor() vendor {
	return vendor{
		name: "sumsub", secrets: s.Secrets, levels: s.Levels, headers: []string{"X-Payload-Digest", "X-Payload-Digest-Alg"},
		verify: verifySumsub, read: readSumsub, timeLayout: "2006-01-02 15:04:05", // in UTC; a fraction may follow
	}
}

var sumsubHashes = map[string]func() hash.Hash{
	"HMAC_SHA1_HEX": sha1.New, "HMAC_SHA256_HEX": sha256.New, "HMAC_SHA512_HEX": sha512.New,
}

func verifySumsub(secret string, h http.Header, body []byte, _ time.Time) bool {
	hash, known := sumsubHashes[single(h, "X-Payload-Digest-Alg")]
	return known && isHMAC(single(h, "X-Payload-Digest"), hash, secret, body)
}

// sumsubSteps are the events that are not about a review. A user whose verification starts again is no longer approved.
var sumsubSteps = map[string]Status{
	"applicantCreated":         Pending,
	"applicantPending":         Pending,
	"applicantAwaitingUser":    Pending,
	"applicantLevelChanged":    Pending,
	"applicantAwaitingService": InReview,
	"applicantPrechecked":      InReview,
	"applicantOnHold":          OnHold,
	"applicantDeactivated":     OnHold, // an activated applicant must be reviewed again
	"applicantReset":           NotStarted,
	"applicantDeleted":         NotStarted,
}

func readSumsub(body []byte) (report, error) {
	var p struct {
		Type           string `json:"type"`
		ExternalUserID string `json:"externalUserId"`
		CreatedAtMs    string `json:"createdAtMs"`
		LevelName      string `json:"levelName"`
		ApplicantType  string `json:"applicantType"`
		SandboxMode    bool   `json:"sandboxMode"`
		ReviewResult   struct {
			ReviewAnswer     string   `json:"reviewAnswer"`
			ReviewRejectType string   `json:"reviewRejectType"`
			RejectLabels     []string `json:"rejectLabels"`
		} `json:"reviewResult"`
	}
	err := json.Unmarshal(body, &p)
	r := report{
		kind: p.Type, status: sumsubSteps[p.Type], user: p.ExternalUserID, at: p.CreatedAtMs, level: p.LevelName, labels: p.ReviewResult.RejectLabels,
	}
	switch p.Type {
	case "applicantReviewed", "applicantWorkflowCompleted", "applicantWorkflowFailed":
		r.status = sumsubAnswer(p.ReviewResult.ReviewAnswer, p.ReviewResult.ReviewRejectType)
	}
	if p.SandboxMode || p.ApplicantType != "" && p.ApplicantType != "individual" {
		r.status = "" // a test or a company, so no person was verified
	}
	return r, err
}

// sumsubAnswer returns Approved only for GREEN.
func sumsubAnswer(answer, rejectType string) Status {
	switch {
	case answer == "GREEN":
		return Approved
	case answer == "RED" && rejectType == "RETRY":
		return Resubmission
	case answer == "RED":
		return Rejected
	}
	return InReview
}
