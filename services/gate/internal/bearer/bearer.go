// Package bearer verifies the access tokens that clients send to the gate, and finds the person that a token belongs to. A token that
// is not understood completely is refused.
package bearer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/countersign/countersign/pkg/client"
)

var (
	// ErrInvalid means that the token is not a token of the issuer for this audience, or is too old.
	ErrInvalid = errors.New("the access token is not valid")
	// ErrUnavailable means that the keys of the issuer cannot be fetched, so nothing is known about the token.
	ErrUnavailable = errors.New("the keys of the token's issuer cannot be fetched")
	// ErrNoAccount means that the subject of the token has no account on the channel.
	ErrNoAccount = errors.New("the subject of the access token has no account in Countersign")
)

// algorithms are the accepted signatures. "none" and the HS algorithms, whose key a client could know, are not among them.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// compact is the form of a token. go-oidc also accepts the JSON form and white space, which the server could read in another way.
var compact = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// fetchTime limits a request to the issuer, and lookupTime a request to Countersign.
const (
	fetchTime  = 10 * time.Second
	lookupTime = 10 * time.Second
)

// Settings say which tokens are accepted.
type Settings struct {
	// Issuer is the exact value of the claim iss, an https URL.
	Issuer string
	// JWKS is the URL of the issuer's keys. Empty means that the issuer's discovery document names it.
	JWKS string
	// Audience must be among the values of the claim aud.
	Audience string
	// Channel is the channel of Countersign on which the claim sub is the id of an account.
	Channel string
	// HTTP sends the requests to the issuer; nil means a client with default settings. No redirect is followed.
	HTTP *http.Client
}

// Verifier verifies tokens. Several goroutines may use it.
type Verifier struct {
	settings Settings
	http     *http.Client
	accounts accounts

	mu      sync.Mutex // held while the keys are searched
	keys    oidc.KeySet
	failed  time.Time
	failure error
}

// New returns a Verifier. It sends nothing.
func New(s Settings, countersign *client.Client) (*Verifier, error) {
	switch {
	case s.Audience == "":
		return nil, errors.New("the audience of the access tokens must not be empty")
	case s.Channel == "":
		return nil, errors.New("the channel of the access tokens must not be empty")
	}
	if err := checkURL("issuer", s.Issuer); err != nil {
		return nil, err
	}
	v := &Verifier{settings: s, http: issuerClient(s.HTTP), accounts: accounts{countersign: countersign, channel: s.Channel, known: map[string]account{}}}
	if s.JWKS != "" {
		if err := checkURL("JWKS", s.JWKS); err != nil {
			return nil, err
		}
		v.keys = v.remote(s.JWKS)
	}
	return v, nil
}

// Issuer is the issuer of the accepted tokens.
func (v *Verifier) Issuer() string { return v.settings.Issuer }

// Subject returns the claim sub of a valid token. The error is ErrInvalid or ErrUnavailable.
func (v *Verifier) Subject(ctx context.Context, token string) (string, error) {
	if !compact.MatchString(token) {
		return "", ErrInvalid
	}
	keys, err := v.keySet(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	watched := &watchedKeys{KeySet: keys}
	verified, err := oidc.NewVerifier(v.settings.Issuer, watched, &oidc.Config{ClientID: v.settings.Audience, SupportedSigningAlgs: algorithms}).Verify(ctx, token)
	switch {
	case watched.unavailable:
		return "", ErrUnavailable
	case err != nil:
		return "", ErrInvalid // the text of err repeats claims
	case verified.Issuer != v.settings.Issuer || verified.Subject == "":
		return "", ErrInvalid // go-oidc accepts two spellings of one issuer
	case !typeAccepted(token), bound(verified):
		return "", ErrInvalid
	}
	return verified.Subject, nil
}

// typeAccepted reports whether the header typ allows that a token is an access token (RFC 9068, RFC 8725). Issuers sign other texts with
// the same keys, such as logout tokens. Many issuers write JWT or nothing for access tokens, and the same for ID tokens. The audience is
// what makes an ID token invalid here.
func typeAccepted(token string) bool {
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	var header struct {
		Type string `json:"typ"`
	}
	if err != nil || json.Unmarshal(text, &header) != nil {
		return false
	}
	switch strings.TrimPrefix(strings.ToLower(header.Type), "application/") {
	case "", "jwt", "at+jwt":
		return true
	}
	return false
}

// bound reports whether a token can be used only with a key of the client (RFC 9449, RFC 8705), which the gate does not verify.
func bound(token *oidc.IDToken) bool {
	var claims struct {
		Confirmation json.RawMessage `json:"cnf"`
	}
	return token.Claims(&claims) != nil || claims.Confirmation != nil
}

// Person returns the person that a subject belongs to. The error is ErrNoAccount, or says why Countersign did not answer.
func (v *Verifier) Person(ctx context.Context, subject string) (client.Person, error) {
	return v.accounts.person(ctx, subject)
}

// checkURL refuses URLs over which another program could give its own keys.
func checkURL(name, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return fmt.Errorf("the %s of the access tokens must be an https URL, or an http URL with a loopback address", name)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
