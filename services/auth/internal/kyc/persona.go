package kyc

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var persona = vendor{
	name: "persona", headers: []string{"Persona-Signature"},
	secrets: func(c Config) []string { return c.Persona },
	signed:  personaSigned, read: readPersona, clock: time.RFC3339,
}

const (
	// personaWindow is how far a signature's time may be from ours, in seconds.
	personaWindow = 300
	// personaSets are one for each secret: the body is looked at again for every one.
	personaSets = 2
)

func personaSigned(secret string, h http.Header, body []byte, now time.Time) bool {
	sets := strings.Fields(only(h, "Persona-Signature"))
	if len(sets) > personaSets {
		return false
	}
	for _, set := range sets {
		if at, signature, ok := personaSet(set); ok && isNear(at, now) && hmacIs(signature, sha256.New, secret, []byte(at), []byte("."), body) {
			return true
		}
	}
	return false
}

// personaSet reads "t=<unix>,v1=<hex>".
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

// personaEvents leaves out inquiry.transitioned: it speaks of a step within a template.
var personaEvents = map[string]Status{
	"inquiry.created":           Pending,
	"inquiry.started":           Pending,
	"inquiry.completed":         InReview, // all steps are done; the decision is still to come
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
