package kyc

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Persona has the secrets of Persona.
type Persona struct {
	Secrets []string `envconfig:"KYC_PERSONA_SECRET"`
}

func (p Persona) vendor() vendor {
	return vendor{
		name: "persona", secrets: p.Secrets, headers: []string{"Persona-Signature"},
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
					} `json:"data"`
				} `json:"payload"`
			} `json:"attributes"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &p)
	e := p.Data.Attributes
	return report{
		id: p.Data.ID, kind: e.Name, status: personaEvents[e.Name], user: e.Payload.Data.Attributes.ReferenceID, at: e.CreatedAt,
	}, err
}
