package kyc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"time"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
)

// ErrProvider says that a bearer did not name a vendor whose form the body has.
var ErrProvider = fault.New(fault.Malformed, "kyc_provider", "X-KYC-Provider should be sumsub, persona, onfido or veriff")

// Webhook is a body, with who was proved to have sent it.
type Webhook struct {
	vendor *vendor
	body   []byte
}

// Authenticate returns a webhook whose sender is proved. A vendor is told by its headers and proves itself by its signature;
// where there are none, bearer (empty: none) has to be a static token. body reads the raw body, and is called only when the
// rest of the credential is good.
//
// It returns caller.ErrNotAuthenticated without any credential, caller.ErrInvalid for one that is not good, ErrProvider, or
// what body returned.
func (k *KYC) Authenticate(ctx context.Context, h http.Header, bearer string, body func() ([]byte, error)) (Webhook, error) {
	claimed := slices.DeleteFunc(slices.Clone(vendors), func(v *vendor) bool { return !v.isNamed(h) })
	switch {
	case len(claimed) == 0 && bearer == "":
		return Webhook{}, caller.ErrNotAuthenticated
	case len(claimed) == 0:
		return k.relayed(ctx, h, bearer, body)
	case len(claimed) > 1:
		return Webhook{}, k.refuse(ctx, "several", "two_vendors")
	}
	v := claimed[0]
	secrets := v.secrets(k.config)
	if len(secrets) == 0 {
		return Webhook{}, k.refuse(ctx, v.name, "not_configured")
	}
	select {
	case k.unproved <- struct{}{}:
		defer func() { <-k.unproved }()
	case <-ctx.Done():
		return Webhook{}, ctx.Err()
	}
	raw, err := body()
	if err != nil {
		return Webhook{}, err
	}
	now := time.Now()
	if !slices.ContainsFunc(secrets, func(secret string) bool { return v.signed(secret, h, raw, now) }) {
		return Webhook{}, k.refuse(ctx, v.name, "signature")
	}
	return Webhook{v, raw}, nil
}

// isNamed reports whether one of the headers is there that this vendor alone sends.
func (v *vendor) isNamed(h http.Header) bool {
	return slices.ContainsFunc(v.headers, func(name string) bool { return len(h.Values(name)) > 0 })
}

// relayed is what came with a static token, from somebody who says which vendor's form it has.
func (k *KYC) relayed(ctx context.Context, h http.Header, bearer string, body func() ([]byte, error)) (Webhook, error) {
	shown := sha256.Sum256([]byte(bearer)) // of one length, whatever was shown
	if !slices.ContainsFunc(k.config.Bearer, func(token string) bool {
		good := sha256.Sum256([]byte(token))
		return subtle.ConstantTimeCompare(good[:], shown[:]) == 1
	}) {
		return Webhook{}, k.refuse(ctx, "bearer", "token")
	}
	i := slices.IndexFunc(vendors, func(v *vendor) bool { return v.name == only(h, "X-KYC-Provider") })
	if i < 0 {
		return Webhook{}, ErrProvider
	}
	raw, err := body()
	return Webhook{vendors[i], raw}, err
}

// refuse records a refusal, even for who has hung up, and returns it. Once a minute is enough of the same: who goes on trying
// fills neither the trail nor the database's time.
func (k *KYC) refuse(ctx context.Context, provider, why string) error {
	k.events.WithLabelValues(provider, "refused").Inc()
	if k.recently(provider + " " + why) {
		return caller.ErrInvalid
	}
	event := audit.Event{Action: "kyc.refused", Details: map[string]any{"provider": provider, "why": why}}
	if err := audit.Record(context.WithoutCancel(ctx), k.db, event); err != nil {
		return err
	}
	return caller.ErrInvalid
}

// recently reports whether this was refused within the last minute, and notes that it is now if not. There are as many
// sorts of refusals as there are words in this file.
func (k *KYC) recently(what string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.refused[what]) < time.Minute {
		return true
	}
	k.refused[what] = time.Now()
	return false
}

// only returns the value of a header that stands once, or nothing.
func only(h http.Header, name string) string {
	if values := h.Values(name); len(values) == 1 {
		return values[0]
	}
	return ""
}
