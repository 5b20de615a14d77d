package kyc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
)

// ErrProvider means that a request with a static token does not name a vendor.
var ErrProvider = fault.New(fault.Malformed, "kyc_provider", "X-KYC-Provider should be one of "+strings.Join(names(Vendors{}.all()), ", "))

func names(vendors []vendor) (names []string) {
	for _, v := range vendors {
		names = append(names, v.name)
	}
	return names
}

// Webhook is the body of an authenticated request, and the vendor whose event it contains.
type Webhook struct {
	vendor vendor
	body   []byte
	// level is the verification level in a header, empty if the vendor sends it in the body.
	level string
}

// Authenticate returns a webhook whose sender is authenticated. The headers identify the vendor, and contain its signature of the
// body. Without a vendor's headers, bearer must be a static token; it is empty for a request without a token. body returns the
// raw body. Authenticate calls it only after all checks that do not need the body.
//
// It returns caller.ErrNotAuthenticated without any credential, caller.ErrInvalid for an invalid one, ErrProvider, or the
// error of body.
func (k *KYC) Authenticate(ctx context.Context, h http.Header, bearer string, body func() ([]byte, error)) (Webhook, error) {
	var claimed []vendor
	for _, v := range k.vendors {
		if slices.ContainsFunc(v.headers, func(name string) bool { return len(h.Values(name)) > 0 }) {
			claimed = append(claimed, v)
		}
	}
	switch {
	case len(claimed) == 0 && bearer == "":
		return Webhook{}, caller.ErrNotAuthenticated
	case len(claimed) == 0:
		return k.relayed(ctx, h, bearer, body)
	case len(claimed) > 1:
		return Webhook{}, k.refuse(ctx, "several", "two_vendors")
	}
	v := claimed[0]
	if len(v.secrets) == 0 {
		return Webhook{}, k.refuse(ctx, v.name, "not_configured")
	}
	raw, err := body()
	if err != nil {
		return Webhook{}, err
	}
	now := time.Now()
	if !slices.ContainsFunc(v.secrets, func(secret string) bool { return v.verify(secret, h, raw, now) }) {
		return Webhook{}, k.refuse(ctx, v.name, "signature")
	}
	return Webhook{v, raw, single(h, v.levelHeader)}, nil
}

// relayed authenticates a static token. The header X-KYC-Provider names the vendor whose event the body contains.
func (k *KYC) relayed(ctx context.Context, h http.Header, bearer string, body func() ([]byte, error)) (Webhook, error) {
	presented := sha256.Sum256([]byte(bearer)) // hashes have equal lengths, which ConstantTimeCompare needs
	if !slices.ContainsFunc(k.bearer, func(token string) bool {
		valid := sha256.Sum256([]byte(token))
		return subtle.ConstantTimeCompare(valid[:], presented[:]) == 1
	}) {
		return Webhook{}, k.refuse(ctx, "bearer", "token")
	}
	i := slices.IndexFunc(k.vendors, func(v vendor) bool { return v.name == single(h, "X-KYC-Provider") })
	if i < 0 {
		return Webhook{}, ErrProvider
	}
	raw, err := body()
	return Webhook{vendor: k.vendors[i], body: raw}, err
}

// refuse records a refusal, even when the client has disconnected, and returns caller.ErrInvalid. It records equal refusals
// at most once a minute, so that a client that repeats them neither fills the audit trail nor slows the database down.
func (k *KYC) refuse(ctx context.Context, provider, why string) error {
	k.events.WithLabelValues(provider, "refused").Inc()
	if k.recently(provider + " " + why) {
		return caller.ErrInvalid
	}
	event := audit.Event{Action: "kyc.refused", Details: map[string]any{"provider": provider, "why": why}}
	return audit.RecordRefusal(ctx, k.db, event, caller.ErrInvalid)
}

// recently reports whether this kind of refusal was recorded within the last minute. If not, it stores the current time.
// There are few kinds: each consists of a vendor's name and a constant in this file.
func (k *KYC) recently(kind string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.refused[kind]) < time.Minute {
		return true
	}
	k.refused[kind] = time.Now()
	return false
}

// single returns the value of a header that occurs once, otherwise an empty string.
func single(h http.Header, name string) string {
	if values := h.Values(name); len(values) == 1 {
		return values[0]
	}
	return ""
}
