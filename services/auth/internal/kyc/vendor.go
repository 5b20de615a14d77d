package kyc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrForm says that a body is not JSON, or not what the vendor sends about such an event.
var ErrForm = fault.New(fault.Malformed, "kyc_form", "The body is not an event of this vendor")

// errNothing says that an event has nothing to say about the status of a user. It stays in here.
var errNothing = errors.New("nothing about a user's status")

// vendor is what differs between those who verify identities.
type vendor struct {
	name string
	// headers are sent by this vendor alone.
	headers []string
	secrets func(Config) []string
	// signed reports whether the headers hold a signature of the body under the secret that is good now.
	signed func(secret string, h http.Header, body []byte, now time.Time) bool
	// read takes out of an event what counts. As json.Unmarshal, it reads as much as it can beside an error.
	read func(body []byte) (report, error)
	// clock is the layout of the vendor's times.
	clock string
}

var vendors = []*vendor{&sumsub, &persona, &onfido, &veriff}

// report is what a vendor's event says, as it came.
type report struct {
	// id is the vendor's own for this event, empty where there is none.
	id string
	// kind is what happened, status what that means; empty: nothing.
	kind   string
	status Status
	// user and at are whom it is about and when it was.
	user, at string
	level    string
	labels   []string
}

// event is a report that was checked: it can be stored, and holds nothing that a vendor's vocabulary does not have.
type event struct {
	id, kind string
	status   Status
	user     uuid.UUID
	at       time.Time
	level    string
	labels   []string
}

const maxLabels = 50

var (
	vendorsID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)
	// What people may have written is not kept: a label is one word out of a vendor's vocabulary.
	label = regexp.MustCompile(`^[A-Za-z0-9_./:-]{1,100}$`)
	level = regexp.MustCompile(`^[A-Za-z0-9_./: -]{1,100}$`)
)

// event reads a body, or returns errNothing or ErrForm.
func (v *vendor) event(body []byte) (event, error) {
	r, err := v.read(body)
	odd := (*json.UnmarshalTypeError)(nil)
	if r.status == "" && (err == nil || errors.As(err, &odd)) {
		return event{}, errNothing // of a kind that is not ours to understand, in whatever form
	}
	if err != nil {
		return event{}, ErrForm
	}
	e := event{id: r.id, kind: r.kind, status: r.status, labels: []string{}}
	if e.user, err = uuid.Parse(r.user); err != nil {
		return event{}, errNothing
	}
	e.at, err = time.Parse(v.clock, r.at)
	if year := e.at.UTC().Year(); err != nil || year < 1 || year > 9999 {
		return event{}, ErrForm // without its time it could overwrite what is newer
	}
	if !vendorsID.MatchString(e.id) {
		e.id = fmt.Sprintf("sha256:%x", sha256.Sum256(body))
	}
	if level.MatchString(r.level) {
		e.level = r.level
	}
	for _, text := range r.labels {
		if label.MatchString(text) && len(e.labels) < maxLabels {
			e.labels = append(e.labels, text)
		}
	}
	return e, nil
}

// hmacIs reports, in a time that does not depend on where they differ, whether a signature in hex is the HMAC of a text.
func hmacIs(signature string, hash func() hash.Hash, secret string, text ...[]byte) bool {
	shown, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(hash, []byte(secret))
	for _, part := range text {
		mac.Write(part)
	}
	return hmac.Equal(mac.Sum(nil), shown)
}
