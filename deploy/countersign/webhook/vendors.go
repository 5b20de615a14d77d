package webhook

import (
	"fmt"
	"time"
)

var sumsub = vendor{
	words: map[string]string{"pending": "applicantPending", "in_review": "applicantPrechecked", "approved": "GREEN", "rejected": "FINAL", "resubmission_requested": "RETRY"},
	body: func(e Event, word string) object {
		body := object{
			"applicantId": "demo", "correlationId": e.ID, "externalUserId": e.User, "levelName": "basic-kyc-level",
			"type": word, "createdAtMs": e.At.UTC().Format("2006-01-02 15:04:05.000"),
		}
		switch word {
		case "GREEN":
			body["type"], body["reviewResult"] = "applicantReviewed", object{"reviewAnswer": "GREEN"}
		case "FINAL", "RETRY":
			body["type"] = "applicantReviewed"
			body["reviewResult"] = object{"reviewAnswer": "RED", "reviewRejectType": word, "rejectLabels": []string{"UNSATISFACTORY_PHOTOS"}}
		}
		return body
	},
	sign: func(secret string, body []byte, _ time.Time) map[string]string {
		return map[string]string{"X-Payload-Digest-Alg": "HMAC_SHA256_HEX", "X-Payload-Digest": mac(secret, body)}
	},
}

var persona = vendor{
	words: map[string]string{"pending": "inquiry.started", "in_review": "inquiry.marked-for-review", "approved": "inquiry.approved",
		"rejected": "inquiry.declined", "resubmission_requested": "inquiry.expired"},
	body: func(e Event, word string) object {
		inquiry := object{"type": "inquiry", "attributes": object{"reference-id": e.User}}
		return object{"data": object{"type": "event", "id": e.ID, "attributes": object{
			"name": word, "created-at": instant(e.At), "payload": object{"data": inquiry}}}}
	},
	sign: func(secret string, body []byte, now time.Time) map[string]string {
		signature := mac(secret, fmt.Appendf(nil, "%d.%s", now.Unix(), body))
		return map[string]string{"Persona-Signature": fmt.Sprintf("t=%d,v1=%s", now.Unix(), signature)}
	},
}

var onfido = vendor{
	words: map[string]string{"pending": "processing", "in_review": "review", "approved": "approved", "rejected": "declined", "resubmission_requested": "abandoned"},
	body: func(e Event, word string) object {
		action, when := "workflow_run.completed", "completed_at_iso8601"
		if e.Status == "pending" {
			action, when = "workflow_run.started", "started_at_iso8601"
		}
		return object{"payload": object{"resource_type": "workflow_run", "action": action,
			"object": object{"id": e.ID, "status": word, when: instant(e.At)}, "resource": object{"customer_user_id": e.User}}}
	},
	sign: func(secret string, body []byte, _ time.Time) map[string]string {
		return map[string]string{"X-SHA2-Signature": mac(secret, body)}
	},
}

var veriff = vendor{
	words: map[string]string{"in_review": "review", "approved": "approved", "rejected": "declined", "resubmission_requested": "resubmission_requested"},
	body: func(e Event, word string) object {
		return object{"status": "success", "verification": object{"id": e.ID, "status": word, "vendorData": e.User, "decisionTime": instant(e.At)}}
	},
	sign: func(secret string, body []byte, _ time.Time) map[string]string {
		return map[string]string{"X-HMAC-SIGNATURE": mac(secret, body)}
	},
}
