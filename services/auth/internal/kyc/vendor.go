package kyc

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrForm means that a body is not JSON, or does not have the form of the vendor's events.
var ErrForm = fault.New(fault.Malformed, "kyc_form", "The body is not an event of this vendor")

// errIgnored means that an event reports no status, or is not about a user.
var errIgnored = errors.New("the event reports no user's status")

// errLevel means that an event approves a user at a level that is not accepted.
var errLevel = errors.New("the level is not accepted")

// vendor describes how a vendor signs and writes its events.
type vendor struct {
	// name is the vendor's name in lower case. The setting of its secrets is KYC_NAME_SECRET.
	name    string
	secrets []string
	// levels are the verification levels whose approval counts. Empty: every level.
	levels []string
	// levelHeader is the header that names the level, if the body does not.
	levelHeader string
	// headers are the headers that only this vendor sends.
	headers []string
	// verify reports whether the headers contain a signature of the body with this secret that is valid now.
	verify func(secret string, h http.Header, body []byte, now time.Time) bool
	// read returns the report in a body. Like json.Unmarshal, it fills in what it can when it returns an error.
	read func(body []byte) (report, error)
	// timeLayout is the layout of report.at.
	timeLayout string
}

// report has the unchecked contents of a vendor's event.
type report struct {
	// id is the vendor's id of this event, empty if the vendor sends no id.
	id string
	// kind is the vendor's name of the event. status is empty when the event reports no status of a person's verification.
	kind   string
	status Status
	// user is the user's id. at is the time of the event.
	user, at string
	level    string
	labels   []string
}

// event is a checked report: it can be stored, and contains only words of the vendor's vocabulary.
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
	eventID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)
	// A label is a word of the vendor's vocabulary. Free text that a person wrote is not stored.
	label = regexp.MustCompile(`^[A-Za-z0-9_./:-]{1,100}$`)
	level = regexp.MustCompile(`^[A-Za-z0-9_./: -]{1,100}$`)
)

// event returns the event in a body, errIgnored, errLevel, or ErrForm. headerLevel is the value of levelHeader. Only an approval
// depends on the level: a rejection counts at every level.
func (v vendor) event(body []byte, headerLevel string) (event, error) {
	r, err := v.read(body)
	var typeError *json.UnmarshalTypeError
	if r.status == "" && (err == nil || errors.As(err, &typeError)) {
		return event{}, errIgnored // the kind of event is unknown, so its form is not checked
	}
	if err != nil {
		return event{}, ErrForm
	}
	e := event{id: r.id, kind: r.kind, status: r.status, labels: []string{}}
	if e.user, err = uuid.Parse(r.user); err != nil {
		return event{}, errIgnored
	}
	e.at, err = time.Parse(v.timeLayout, r.at)
	if year := e.at.UTC().Year(); err != nil || year < 1 || year > 9999 {
		return event{}, ErrForm // without its time, it could replace a newer event
	}
	if !eventID.MatchString(e.id) {
		e.id = fmt.Sprintf("sha256:%x", sha256.Sum256(body))
	}
	if r.level = cmp.Or(r.level, headerLevel); level.MatchString(r.level) {
		e.level = r.level
	}
	if e.status == Approved && len(v.levels) > 0 && !slices.Contains(v.levels, r.level) {
		return event{}, errLevel
	}
	for _, text := range r.labels {
		if label.MatchString(text) && len(e.labels) < maxLabels {
			e.labels = append(e.labels, text)
		}
	}
	return e, nil
}

// isHMAC reports in constant time whether a hexadecimal signature is the HMAC of a text.
func isHMAC(signature string, hash func() hash.Hash, secret string, text ...[]byte) bool {
	presented, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(hash, []byte(secret))
	for _, part := range text {
		mac.Write(part)
	}
	return hmac.Equal(mac.Sum(nil), presented)
}
