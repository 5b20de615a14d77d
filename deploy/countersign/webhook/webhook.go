// Package webhook makes the signed webhooks of identity-verification (KYC) vendors, to test a stack without a vendor.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Event is what a vendor reports about a user.
type Event struct {
	ID   string
	User uuid.UUID
	// Status is one of Statuses.
	Status string
	// At is the time of the event by the vendor's clock.
	At time.Time
}

// Statuses are the statuses of an identity verification.
var Statuses = []string{"pending", "in_review", "approved", "rejected", "resubmission_requested"}

// vendor describes how a vendor writes and signs its webhooks.
type vendor struct {
	// words are the vendor's words for Statuses. The vendor does not report a status that has no word.
	words map[string]string
	// body returns the body of an event whose status is word.
	body func(e Event, word string) object
	// sign signs a body with a secret and returns the headers with the signature.
	sign func(secret string, body []byte, now time.Time) map[string]string
}

type object = map[string]any

var vendors = map[string]vendor{
	"sumsub":  sumsub,
	"persona": persona,
	"onfido":  onfido,
	"veriff":  veriff,
}

// Vendors returns the names of the vendors, in order.
func Vendors() []string { return slices.Sorted(maps.Keys(vendors)) }

// Body returns the body of a vendor's webhook. It returns an error when the vendor is unknown or does not report the status.
func Body(name string, e Event) ([]byte, error) {
	v, ok := vendors[name]
	if !ok {
		return nil, fmt.Errorf("there is no vendor %q; the vendors are %s", name, strings.Join(Vendors(), ", "))
	}
	word, ok := v.words[e.Status]
	if !ok {
		return nil, fmt.Errorf("%s has no status %q; the statuses are %s (Veriff does not report pending)", name, e.Status, strings.Join(Statuses, ", "))
	}
	return json.Marshal(v.body(e, word))
}

// Sign returns the headers with a vendor's signature of a body. It panics if the vendor is not one of Vendors.
func Sign(name, secret string, body []byte, now time.Time) http.Header {
	header := http.Header{}
	for field, value := range vendors[name].sign(secret, body, now) {
		header.Set(field, value)
	}
	return header
}

// mac returns the HMAC-SHA-256 of a text, in hexadecimal.
func mac(secret string, text []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(text)
	return hex.EncodeToString(m.Sum(nil))
}

// instant formats a time in UTC with milliseconds.
func instant(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
