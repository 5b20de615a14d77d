package receipt

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/pkg/client/action"
)

// ErrInvalid means that the receipt does not prove an approval of the action. Do not run the action.
var ErrInvalid = errors.New("invalid receipt")

const (
	// leeway is how much the clocks of the issuer and of this program may differ.
	leeway = 10 * time.Second
	// maxReceiptBytes is much more than a receipt has.
	maxReceiptBytes = 8 << 10
)

// Verifier verifies receipts of one issuer for one audience. It reads the issuer's public keys over HTTP and keeps them for five
// minutes, or for an hour while the issuer cannot be reached. Several goroutines may use it.
type Verifier struct {
	audience string
	keys     *keys
	parser   *jwt.Parser
}

// NewVerifier returns a Verifier. issuer is the URL of Countersign's pages (APPROVAL_URL, or RECEIPT_ISSUER if it is set): https, or
// http on this machine, without a slash at the end. audience is the audience that the skills of this tool server are
// registered with. client reads the keys, without redirects; nil means a client with default settings.
func NewVerifier(issuer, audience string, client *http.Client) (*Verifier, error) {
	if err := checkIssuer(issuer); err != nil {
		return nil, err
	}
	if audience == "" {
		return nil, errors.New("the audience of a receipt verifier must not be empty")
	}
	v := &Verifier{audience: audience, keys: newKeys(issuer+KeysPath, client)}
	v.parser = newParser(issuer, audience, time.Now)
	return v, nil
}

func newParser(issuer, audience string, now func() time.Time) *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now))
}

// Verify returns the claims of a receipt that proves the approval of exactly the action want, for the verifier's audience.
// want.Audience is ignored. The case of ASCII letters in want.Skill does not matter.
//
// The error is ErrInvalid (use errors.Is) if the receipt proves something else or nothing. Every other error means that the receipt
// could not be checked. In both cases, do not run the action.
//
// Verify cannot see that a receipt was used before. Before the action runs, insert Claims.ID into a table in which it is unique, and
// run the action only if the insert succeeds.
func (v *Verifier) Verify(ctx context.Context, receipt string, want action.Action) (Claims, error) {
	if want.Instance == "" || want.Customer == "" || want.Skill == "" {
		return Claims{}, errors.New("verifying a receipt: the instance, the customer and the skill of the action must be known")
	}
	if len(receipt) > maxReceiptBytes {
		return Claims{}, fmt.Errorf("%w: it is too long", ErrInvalid)
	}
	var claims Claims
	var keyErr error // jwt's error would hide whether the keys could be read
	_, err := v.parser.ParseWithClaims(receipt, &claims, func(token *jwt.Token) (any, error) {
		var key ed25519.PublicKey
		key, keyErr = v.key(ctx, token.Header)
		return key, keyErr
	})
	if keyErr != nil {
		return Claims{}, keyErr
	}
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := v.match(claims, want); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// key returns the public key that must have signed a receipt with this header.
func (v *Verifier) key(ctx context.Context, header map[string]any) (ed25519.PublicKey, error) {
	if typ, _ := header["typ"].(string); typ != Type {
		return nil, fmt.Errorf("%w: it has another type", ErrInvalid)
	}
	if _, found := header["crit"]; found {
		return nil, fmt.Errorf("%w: it has an extension that is not known", ErrInvalid)
	}
	kid, _ := header["kid"].(string)
	if kid == "" {
		return nil, fmt.Errorf("%w: it does not name its key", ErrInvalid)
	}
	return v.keys.get(ctx, kid)
}

// match reports how verified claims differ from the action that is about to run.
func (v *Verifier) match(claims Claims, want action.Action) error {
	got := claims.Approved
	switch {
	case claims.ID == "":
		return fmt.Errorf("%w: it has no id", ErrInvalid)
	case !equal(claims.Subject, want.Customer):
		return fmt.Errorf("%w: it is about another customer", ErrInvalid)
	case !equal(got.Instance, want.Instance):
		return fmt.Errorf("%w: it is about another instance", ErrInvalid)
	case !equal(action.Lower(got.Skill), action.Lower(want.Skill)):
		return fmt.Errorf("%w: it is about another skill", ErrInvalid)
	}
	// The hash contains the registered spelling of the skill, which only Countersign knows.
	want.Skill, want.Audience = got.Skill, &v.audience
	hash, err := want.Hash()
	if err != nil { // nobody can have approved arguments that have no hash
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !equal(got.ActionHash, hex.EncodeToString(hash[:])) {
		return fmt.Errorf("%w: it is about other arguments", ErrInvalid)
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
