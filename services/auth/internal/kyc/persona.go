package kyc

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Persona has the settings of Persona. A webhook of the sandbox has another secret than a webhook of production; nothing else in an
// event names the environment.
type Persona struct {
	Secrets []string `envconfig:"KYC_PERSONA_SECRET"`
	// Levels are the ids of the inquiry templates (itmpl_…) whose approval counts. Default: every template.
	Levels []string `envconfig:"KYC_PERSONA_LEVELS"`
}

func (p Persona) vendor() vendor {
	return vendor{
		name: "persona", secrets: p.Secrets, levels: p.Levels, headers: []string{"Persona-Signature"},
		verify: verifyPersona, read: readPersona, timeLayout: time.RFC3339,
	}
}

const (
	// personaWindow is the largest difference between a signature's time and now, in seconds.
	personaWindow = 300
	// personaSets is how many signatures a header may contain. Persona sends one for each secret. Each costs an HMAC of the body.
	personaSets = 2
)

func verifyPersona(secret string, h http.Header, body []byte, now time.Time) bool {
	sets := strings.Fields(single(h, "Persona-Signature"))
	if len(sets) > personaSets {
		return false
	}
	for _, set := range sets {
		if at, signature, ok := personaSet(set); ok && isNear(at, now) && isHMAC(signature, sha256.New, secret, []byte(at), []byte("."), body) {
			return true
		}
	}
	return false
}

// personaSet parses "t=<Unix time>,v1=<hexadecimal HMAC>".
func personaSet(set string) (at, signature string, ok bool) {
	at, signature, _ = strings.Cut(set, ",")
	at, isTime := strings.CutPrefix(at, "t=")
	signature, isFirst := strings.CutPrefix(signature, "v1=")
	return at, signature, isTime && isFirst
}

func isNear(at string, now time.Time) bool {
	seconds, err := strconv.ParseInt(at, 10, 64)
	return err == nil && now.Unix()-personaWindow <= seconds && seconds <= now.Unix()+personaWindow
}

// personaEvents does not have inquiry.transitioned: it is about a step within a template.
var personaEvents = map[string]Status{
	"inquiry.created":           Pending,
	"inquiry.started":           Pending,
	"inquiry.completed":         InReview, // the user has finished; the decision follows
	"inquiry.marked-for-review": InReview,
	"inquiry.approved":          Approved,
	"inquiry.declined":          Rejected,
	"inquiry.failed":            Rejected,
	"inquiry.expired":           Resubmission,
	"account.archived":          OnHold, // the account's reference id is the user too
}

// personaRelation names a related object.
type personaRelation struct {
	Data struct {
		ID string `json:"id"`
	} `json:"data"`
}

func readPersona(body []byte) (report, error) {
	var p struct {
		Data struct {
			ID         string `json:"id"`
			Attributes struct {
				Name      string `json:"name"`
				CreatedAt string `json:"created-at"`
				Payload   struct {
					Data struct {
						Attributes struct {
							ReferenceID string `json:"reference-id"`
						} `json:"attributes"`
						Relationships struct {
							InquiryTemplate personaRelation `json:"inquiry-template"`
							Template        personaRelation `json:"template"` // of older inquiries
						} `json:"relationships"`
					} `json:"data"`
				} `json:"payload"`
			} `json:"attributes"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &p)
	e := p.Data.Attributes
	templates := e.Payload.Data.Relationships
	return report{
		id: p.Data.ID, kind: e.Name, status: personaEvents[e.Name], user: e.Payload.Data.Attributes.ReferenceID, at: e.CreatedAt,
		level: cmp.Or(templates.InquiryTemplate.Data.ID, templates.Template.Data.ID),
	}, err
}
