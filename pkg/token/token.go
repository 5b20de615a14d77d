// Package token makes and reads opaque credentials: proxy keys, API keys, refresh tokens, PIN sessions and the links in
// mails. Each carries 256 random bits, so its SHA-256 is all that has to be stored; a prefix that secret scanners find; and
// a checksum, so that a typo never reaches a store.
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

// Kind is the prefix of a credential: what it opens.
type Kind string

// The kinds of credentials.
const (
	ProxyKey Kind = "csp"
	APIKey   Kind = "csa"
	Refresh  Kind = "csr"
	Session  Kind = "cst"
	// Challenge names a sign-in that awaits its second factor.
	Challenge Kind = "csc"
	// Link is what a link in a mail carries.
	Link Kind = "csl"
)

const (
	secretBytes   = 32
	checksumBytes = 4
	maxText       = 128
)

// ErrMalformed says that a text is no credential of the wanted kind.
var ErrMalformed = fault.New(fault.Unauthenticated, "token_malformed", "The credential is malformed")

var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Token is a credential in the clear. It prints as [redacted] everywhere; Reveal is the one way out.
type Token struct {
	secret.Text
	head []byte
}

// New makes a fresh credential. head is put in front of the secret, readable to us: a session's names its holder.
func New(kind Kind, head ...byte) Token {
	var bits [secretBytes]byte
	rand.Read(bits[:]) // never fails: the runtime aborts when the system has no randomness
	return From(kind, bits, head...)
}

// From makes the credential that stands for a secret which the caller derived.
func From(kind Kind, bits [secretBytes]byte, head ...byte) Token {
	payload := append(append([]byte{}, head...), bits[:]...)
	payload = binary.BigEndian.AppendUint32(payload, checksum(kind, payload))
	return Token{secret.New(string(kind) + "_" + encoding.EncodeToString(payload)), head}
}

// Parse reads a credential of one kind whose head is headBytes long, or returns ErrMalformed.
func Parse(kind Kind, text string, headBytes int) (Token, error) {
	encoded, ok := strings.CutPrefix(text, string(kind)+"_")
	if !ok || len(text) > maxText {
		return Token{}, ErrMalformed
	}
	payload, err := encoding.DecodeString(encoded)
	// The decoder passes over line ends and over bits at the end that do not fill a byte: a second spelling is not ours.
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

// Head returns what was put in front of the secret.
func (t Token) Head() []byte { return t.head }

// Hash returns the SHA-256 by which the credential is stored and found. Whoever can tell how far a look-up by it got
// learns of a hash and not of the credential, so the look-up need not be constant-time.
func (t Token) Hash() []byte {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return sum[:]
}

// Prefix returns the first characters, by which people tell keys apart; 35 of its bits are random.
func (t Token) Prefix() string {
	text := t.Reveal()
	return text[:min(len(text), 11)]
}
