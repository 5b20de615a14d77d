// Package keyring derives one subkey for each purpose from a master key, and seals (encrypts) or signs data that must be stored.
// A ring has one or more master keys. The first key is current: new data uses it. The other keys still open old data and verify
// it. To replace a key, append a new key, promote it (make it the first), and retire (remove) the old key when no data uses it any
// more.
// The design: docs/architecture.md, section 9.
package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/countersign/countersign/pkg/secret"
)

// Purpose is the use of a subkey. A subkey reveals nothing about the subkeys of other purposes.
type Purpose string

// The purposes in use.
const (
	Pepper        Purpose = "countersign/pepper/v1"
	SigningKeys   Purpose = "countersign/signing-keys/v1"
	RefreshChain  Purpose = "countersign/refresh-chain/v1"
	AuditCursor   Purpose = "countersign/audit-cursor/v1"
	SecondFactors Purpose = "countersign/second-factors/v1"
	MailLinks     Purpose = "countersign/mail-links/v1"
	MailPauses    Purpose = "countersign/mail-pauses/v1"
	ExchangeKeys  Purpose = "countersign/exchange-keys/v1"
	KnownNetworks Purpose = "countersign/known-networks/v1"
	PINSessions   Purpose = "countersign/pin-sessions/v1"
	Approvals     Purpose = "countersign/approvals/v1"
	ReceiptKeys   Purpose = "countersign/receipt-keys/v1"
	Phrases       Purpose = "countersign/phrases/v1"
)

const keyBytes = 32

var (
	// ErrUnknownKey means that the ring has no key with the requested id.
	ErrUnknownKey = errors.New("the key is not on the ring")
	// ErrSealBroken means that sealed data was changed, or belongs to another row or purpose.
	ErrSealBroken = errors.New("the sealed data was changed, or belongs to another row or purpose")
	// ErrForged means that signed data was changed, was signed with another key, or belongs to another row or purpose.
	ErrForged = errors.New("the signed data was changed, or belongs to another row or purpose")
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Ring is an ordered set of master keys. It prints as [redacted].
type Ring struct{ keys []masterKey }

type masterKey struct {
	id     string
	secret secret.Text
}

// Parse parses "id:base64,id:base64". An id has 1 to 32 of the characters a-z, 0-9 and "-", and does not begin with "-". A key
// has 32 bytes, in standard base64. An error contains the number of the wrong entry, but not its text.
func Parse(text string) (*Ring, error) {
	var ring Ring
	for i, entry := range strings.Split(strings.TrimSpace(text), ",") {
		id, encoded, ok := strings.Cut(strings.TrimSpace(entry), ":")
		if !ok || !idPattern.MatchString(id) {
			return nil, fmt.Errorf("entry %d: want id:base64, with an id of a-z, 0-9 and -", i+1)
		}
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) != keyBytes {
			return nil, fmt.Errorf("entry %d: want %d bytes in standard base64", i+1, keyBytes)
		}
		if _, err := ring.master(id); err == nil {
			return nil, fmt.Errorf("entry %d: its id occurs twice", i+1)
		}
		ring.keys = append(ring.keys, masterKey{id, secret.New(string(key))})
	}
	return &ring, nil
}

// ParseSetting parses the value of a setting as Parse does. Its errors begin with the name of the setting.
func ParseSetting(name, text string) (*Ring, error) {
	if text == "" {
		return nil, fmt.Errorf("%s is not set", name)
	}
	ring, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return ring, nil
}

// Current returns the id of the current key.
func (r *Ring) Current() string { return r.keys[0].id }

// IDs returns the ids of all keys, the current one first.
func (r *Ring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.id
	}
	return ids
}

// Subkey derives the 32-byte key for a purpose from the master key with this id, by HKDF-SHA-256 (RFC 5869). It returns
// ErrUnknownKey if the ring has no such key.
func (r *Ring) Subkey(id string, purpose Purpose) ([]byte, error) {
	master, err := r.master(id)
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, master, nil, string(purpose), keyBytes)
}

func (r *Ring) master(id string) ([]byte, error) {
	for _, k := range r.keys {
		if k.id == id {
			return []byte(k.secret.Reveal()), nil
		}
	}
	return nil, ErrUnknownKey
}

// Seal encrypts plaintext with AES-256-GCM and a subkey of the current key. row is the id of the row that stores the
// result, or empty. Open fails with another row, so a sealed value is useless if it is copied to another row. The result starts
// with the key's id and a colon.
func (r *Ring) Seal(purpose Purpose, row string, plaintext []byte) ([]byte, error) {
	aead, err := r.aead(r.Current(), purpose)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	sealed := append([]byte(r.Current()+":"), nonce...)
	return aead.Seal(sealed, nonce, plaintext, []byte(row)), nil
}

// Open decrypts the result of Seal for the same purpose and row. The error may be ErrUnknownKey or ErrSealBroken.
func (r *Ring) Open(purpose Purpose, row string, sealed []byte) ([]byte, error) {
	id, rest, ok := strings.Cut(string(sealed), ":")
	if !ok {
		return nil, ErrSealBroken
	}
	aead, err := r.aead(id, purpose)
	if err != nil {
		return nil, err
	}
	if len(rest) < aead.NonceSize() {
		return nil, ErrSealBroken
	}
	nonce, ciphertext := rest[:aead.NonceSize()], rest[aead.NonceSize():]
	plaintext, err := aead.Open(nil, []byte(nonce), []byte(ciphertext), []byte(row))
	if err != nil {
		return nil, ErrSealBroken
	}
	return plaintext, nil
}

func (r *Ring) aead(id string, purpose Purpose) (cipher.AEAD, error) {
	key, err := r.Subkey(id, purpose)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("preparing AES: %w", err)
	}
	return cipher.NewGCM(block)
}

// Sign returns message behind the id of the current key and an HMAC-SHA-256 (RFC 2104) under a subkey of this key. The message
// stays readable. row is the id of the place that stores the result. Verify fails with another row, so a signed message is
// useless if it is copied to another place. Unlike Seal, Sign can be used for any number of messages.
func (r *Ring) Sign(purpose Purpose, row string, message []byte) ([]byte, error) {
	mac, err := r.mac(r.Current(), purpose, row, message)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(r.Current()+":"), mac, message), nil
}

// Verify returns the message of a result of Sign for the same purpose and row. The error may be ErrUnknownKey or ErrForged.
func (r *Ring) Verify(purpose Purpose, row string, signed []byte) ([]byte, error) {
	id, rest, ok := bytes.Cut(signed, []byte(":"))
	if !ok || !idPattern.Match(id) || len(rest) < sha256.Size {
		return nil, ErrForged
	}
	mac, message := rest[:sha256.Size], rest[sha256.Size:]
	want, err := r.mac(string(id), purpose, row, message)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, want) {
		return nil, ErrForged
	}
	return message, nil
}

// mac begins with the length of row, so that no other row and message give the same input.
func (r *Ring) mac(id string, purpose Purpose, row string, message []byte) ([]byte, error) {
	key, err := r.Subkey(id, purpose)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(row))))
	h.Write([]byte(row))
	h.Write(message)
	return h.Sum(nil), nil
}

func (r *Ring) String() string               { return "[redacted]" }
func (r *Ring) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Format writes [redacted] for every verb.
func (r *Ring) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }
