// Package token makes and parses opaque credentials: proxy keys, API keys, refresh tokens, session tokens and the tokens of
// links in mails. A credential contains 256 random bits, so its SHA-256 is enough to store it. It starts with a prefix that
// secret scanners find. It ends with a checksum, so that a mistyped credential is refused without a database query.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
)

// Kind is the kind of a credential. Its value is the credential's prefix.
type Kind string

// The kinds of credentials.
const (
	ProxyKey Kind = "csp"
	APIKey   Kind = "csa"
	// Refresh is a refresh token.
	Refresh Kind = "csr"
	// Session is the token of a PIN session.
	Session Kind = "cst"
	// Challenge is the token of a sign-in that waits for its second factor.
	Challenge Kind = "csc"
	// Link is the token of a link in a mail.
	Link Kind = "csl"
	// Approval is the token of an approval's link, and Enrolment the token of an enrolment link.
	Approval  Kind = "cap"
	Enrolment Kind = "cen"
	// Browser is the cookie of a known browser.
	Browser Kind = "cbr"
)

const (
	secretBytes   = 32
	checksumBytes = 4
	maxText       = 128
)

// ErrMalformed means that a text is not a credential of the requested kind.
var ErrMalformed = fault.New(fault.Unauthenticated, "token_malformed", "The credential is malformed")

var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Token is a plain credential. It prints as [redacted]. Only Reveal returns its text.
type Token struct {
	secret.Text
	head []byte
}

// New returns a new credential. head precedes the random bits and is not secret. For example, the head of a session token is
// the id of the PIN's holder.
func New(kind Kind, head ...byte) Token {
	var bits [secretBytes]byte
	rand.Read(bits[:]) // cannot fail: without randomness, the program aborts
	return From(kind, bits, head...)
}

// From returns a credential with secret bits that the caller derived from a key.
func From(kind Kind, bits [secretBytes]byte, head ...byte) Token {
	payload := append(append([]byte{}, head...), bits[:]...)
	payload = binary.BigEndian.AppendUint32(payload, checksum(kind, payload))
	return Token{secret.New(string(kind) + "_" + encoding.EncodeToString(payload)), head}
}

// Parse parses a credential of one kind with a head of headBytes bytes. It returns ErrMalformed if text differs from every text
// that New and From return. It does not check that the credential was issued.
func Parse(kind Kind, text string, headBytes int) (Token, error) {
	encoded, ok := strings.CutPrefix(text, string(kind)+"_")
	if !ok || len(text) > maxText {
		return Token{}, ErrMalformed
	}
	payload, err := encoding.DecodeString(encoded)
	// The decoder ignores line ends and incomplete bytes at the end. The comparison refuses such other spellings.
	if err != nil || len(payload) != headBytes+secretBytes+checksumBytes || encoding.EncodeToString(payload) != encoded {
		return Token{}, ErrMalformed
	}
	body, sum := payload[:headBytes+secretBytes], binary.BigEndian.Uint32(payload[headBytes+secretBytes:])
	if sum != checksum(kind, body) {
		return Token{}, ErrMalformed
	}
	return Token{secret.New(text), body[:headBytes:headBytes]}, nil
}

func checksum(kind Kind, payload []byte) uint32 {
	return crc32.ChecksumIEEE(append([]byte(kind), payload...))
}

// Head returns the head that New or From received.
func (t Token) Head() []byte { return t.head }

// Hash returns the SHA-256 of the credential. A store saves it and searches for it. The search need not take constant time:
// its timing reveals something about the hash, but nothing about the credential.
func (t Token) Hash() []byte {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return sum[:]
}

// Prefix returns the first 11 characters, so that people can distinguish keys. Without a head, 35 of their bits are random.
func (t Token) Prefix() string {
	text := t.Reveal()
	return text[:min(len(text), 11)]
}
