package kyc

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"time"
)

// Onfido has the settings of Onfido. Onfido registers webhooks for its sandbox, for its live environment, or for both; an event
// does not name the environment. Only its events about workflow runs are used, because only they name the user and the outcome.
type Onfido struct {
	Secrets []string `envconfig:"KYC_ONFIDO_SECRET"`
	// Levels are the ids of the workflows whose approval counts. Default: every workflow.
	Levels []string `envconfig:"KYC_ONFIDO_LEVELS"`
}

func (o Onfido) vendor() vendor {
	return vendor{
		name: "onfido", secrets: o.Secrets, levels: o.Levels, headers: []string{"X-SHA2-Signature"},
		verify: verifyOnfido, read: readOnfido, timeLayout: time.RFC3339,
	}
}

func verifyOnfido(secret string, h http.Header, body []byte, _ time.Time) bool {
	return isHMAC(single(h, "X-SHA2-Signature"), sha256.New, secret, body)
}

var onfidoOutcomes = map[string]Status{
	"approved":  Approved,
	"declined":  Rejected,
	"review":    InReview,
	"error":     OnHold,
	"abandoned": Resubmission,
}

func readOnfido(body []byte) (report, error) {
	var p struct {
		Payload struct {
			Action string `json:"action"`
			Object struct {
				Status      string `json:"status"`
				StartedAt   string `json:"started_at_iso8601"`
				CompletedAt string `json:"completed_at_iso8601"`
			} `json:"object"`
			Resource struct {
				CustomerUserID string   `json:"customer_user_id"`
				WorkflowID     string   `json:"workflow_id"`
				Reasons        []string `json:"reasons"`
			} `json:"resource"`
		} `json:"payload"`
	}
	err := json.Unmarshal(body, &p)
	e := p.Payload
	r := report{kind: e.Action, user: e.Resource.CustomerUserID, level: e.Resource.WorkflowID, labels: e.Resource.Reasons, at: cmp.Or(e.Object.CompletedAt, e.Object.StartedAt)}
	switch e.Action {
	case "workflow_run.started":
		r.status = Pending
	case "workflow_run.completed":
		r.status = cmp.Or(onfidoOutcomes[e.Object.Status], InReview)
	}
	return r, err
}
