package hold

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

// ErrNotSealed means that a text was not sealed with this key for this purpose, was changed, or is too old.
var ErrNotSealed = errors.New("the sealed text is not valid")

// Sealer encrypts state that goes through a client, so that the client can neither read nor change it. The key comes from the proxy
// key, so all programs with the same proxy key can open it, also after a restart.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns a Sealer whose key is derived from a proxy key (HKDF, RFC 5869).
func NewSealer(proxyKey client.Secret) (*Sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(proxyKey.Reveal()), nil, "countersign-gate v1", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of sealed state: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of sealed state: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of sealed state: %w", err)
	}
	return &Sealer{aead}, nil
}

type sealed struct {
	Until int64           `json:"u"`
	Value json.RawMessage `json:"v"`
}

// Seal returns value, encoded as JSON and encrypted, in letters, digits, "-" and "_". Open accepts it for the same purpose, until the
// given time.
func (s *Sealer) Seal(purpose string, value any, until time.Time) (string, error) {
	inner, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("sealing state: %w", err)
	}
	plain, err := json.Marshal(sealed{until.Unix(), inner})
	if err != nil {
		return "", fmt.Errorf("sealing state: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(purpose))), nil
}

// Open reads a text of Seal into value. The error is ErrNotSealed.
func (s *Sealer) Open(purpose, text string, value any) error {
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // the decoder ignores line ends
		return ErrNotSealed
	}
	plain, err := s.aead.Open(nil, nil, box, []byte(purpose))
	if err != nil {
		return ErrNotSealed
	}
	var content sealed
	if json.Unmarshal(plain, &content) != nil || time.Now().Unix() > content.Until || json.Unmarshal(content.Value, value) != nil {
		return ErrNotSealed
	}
	return nil
}
