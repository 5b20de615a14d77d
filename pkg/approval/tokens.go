package approval

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/token"
)

// LinkToken returns the token of an approval's link. It is derived from the row, so a repeated request gets the same link, and the
// database contains only its hash. It returns keyring.ErrUnknownKey if the ring has lost the row's key.
func (r Row) LinkToken(ring *keyring.Ring) (token.Token, error) {
	bits, err := r.derive(ring, "link")
	if err != nil {
		return token.Token{}, fmt.Errorf("deriving a link's token: %w", err)
	}
	return token.From(token.Approval, bits), nil
}

// SessionToken returns the token of the session that one use of the approval makes, for the PIN of a holder. useHash is the
// SHA-256 of the use_id. A repeated use gets the same token.
func (r Row) SessionToken(ring *keyring.Ring, holder uuid.UUID, useHash []byte) (token.Token, error) {
	bits, err := r.derive(ring, "session", useHash...)
	if err != nil {
		return token.Token{}, fmt.Errorf("deriving a session token: %w", err)
	}
	return token.From(token.Session, bits, holder[:]...), nil
}

// derive returns an HMAC-SHA-256 of the row's nonce, for one purpose. The nonce has a fixed length, so no two inputs are equal.
func (r Row) derive(ring *keyring.Ring, purpose string, more ...byte) (bits [sha256.Size]byte, err error) {
	key, err := ring.Subkey(r.KeyID, keyring.Approvals)
	if err != nil {
		return bits, err
	}
	h := hmac.New(sha256.New, key)
	h.Write(r.Nonce)
	h.Write([]byte(purpose))
	h.Write(more)
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// URL is the base of every link. No header of a request ever is.
type URL struct{ base string }

// ParseURL parses a setting, APPROVAL_URL or RECEIPT_ISSUER: an https URL, or http for a loopback address, with nothing behind the
// host.
func ParseURL(setting, text string) (URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return URL{}, errors.New(setting + " is not a URL without a path, a query and a fragment")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return URL{}, errors.New(setting + " must begin with https://; http:// is allowed for a loopback address only")
	}
	return URL{u.Scheme + "://" + u.Host}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String returns the URL without a slash at its end.
func (u URL) String() string { return u.base }

// Approve returns the link of an approval. Its token is in the fragment, which browsers do not send to a server.
func (u URL) Approve(t token.Token) string { return u.base + "/approve#" + t.Reveal() }

// Enrol returns an enrolment link.
func (u URL) Enrol(t token.Token) string { return u.base + "/enrol#" + t.Reveal() }

// Secure reports whether the page is served over https.
func (u URL) Secure() bool { return strings.HasPrefix(u.base, "https:") }
