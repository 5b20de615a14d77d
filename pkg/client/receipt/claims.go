// Package receipt is about receipts: signed statements that a person approved exactly one action with the PIN, and that the approval
// was used. A receipt is a JSON Web Signature (RFC 7515) with an Ed25519 key (EdDSA, RFC 8037).
package receipt

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// Type is the header field typ of a receipt.
	Type = "countersign-receipt+jwt"
	// KeysPath is where the issuer publishes its public keys as a JWK Set (RFC 7517).
	KeysPath = "/.well-known/countersign-receipts.json"
)

// Claims is the content of a receipt. Times are seconds since 1970.
type Claims struct {
	// Issuer is the URL of the Countersign that signed the receipt, without a slash at the end.
	Issuer string `json:"iss"`
	// Subject is the id of the customer who approved.
	Subject string `json:"sub"`
	// Audience is the audience of the action. It is empty if the action has none.
	Audience string `json:"aud,omitempty"`
	// IssuedAt is the time of the use, and ExpiresAt is 120 s later.
	IssuedAt  int64 `json:"iat"`
	ExpiresAt int64 `json:"exp"`
	// ID is the id of the approval. There is one receipt for an approval, so a tool server that accepts each id once does nothing
	// twice.
	ID       string   `json:"jti"`
	Approved Approved `json:"cst"`
}

// Approved says what was approved.
type Approved struct {
	Instance string `json:"instance"`
	// Skill is the name in the spelling of the hash.
	Skill string `json:"skill"`
	// ActionHash is the hash of the action in 64 lower-case hexadecimal digits.
	ActionHash string `json:"action_hash"`
	// Template identifies the title and the summary template that the page showed: the SHA-256 of the title, a zero byte and the
	// template, in base64url without padding. A missing one counts as empty. It is nil if the skill had neither.
	Template *string `json:"template"`
	// ApprovedAt is the time of the right PIN.
	ApprovedAt int64 `json:"approved_at"`
	// Methods says how the person approved: always "pin" (RFC 8176).
	Methods []string `json:"amr"`
}

// The methods below make Claims a jwt.Claims, for signing and for verifying.

func (c Claims) GetIssuer() (string, error)  { return c.Issuer, nil }
func (c Claims) GetSubject() (string, error) { return c.Subject, nil }
func (c Claims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}
func (c Claims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt), nil }
func (c Claims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.ExpiresAt), nil }
func (c Claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }

func date(seconds int64) *jwt.NumericDate {
	if seconds == 0 {
		return nil
	}
	return jwt.NewNumericDate(time.Unix(seconds, 0))
}
