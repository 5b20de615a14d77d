// Package exchange keeps the keys that users have at exchanges, and asks an exchange whether a key connects. It promises
// that credentials lie sealed in the database and nowhere else, that none is revealed without its row in the audit trail,
// and that they go to their exchange's own host alone, in a call that only reads.
package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/seal"
)

// Why a key is refused.
var (
	ErrNoKey        = fault.New(fault.NotFound, "exchange_key_not_found", "API key not found")
	ErrTooMany      = fault.New(fault.Conflict, "too_many_exchange_keys", fmt.Sprintf("There are %d API keys already; delete one first", MaxKeys))
	ErrReplaced     = fault.New(fault.Conflict, "exchange_key_replaced", "The API key was changed while it was tested; test it again")
	ErrNoPassphrase = fault.New(fault.Invalid, "passphrase_missing", "This exchange needs the passphrase of the API key").About("api_passphrase")
)

// MaxKeys is how many keys a user may keep.
const MaxKeys = 100

// Key is what may be told of a stored key.
type Key struct {
	ID        uuid.UUID `db:"id"`
	Exchange  string    `db:"exchange"`
	Label     *string   `db:"label"`
	MaskedKey string    `db:"masked_key"`
	IsTestnet bool      `db:"is_testnet"`
	// Permissions is what the user says that the key may do.
	Permissions pq.StringArray `db:"permissions"`
	// IsValid is what the exchange said last; nil: not yet anything.
	IsValid      *bool      `db:"is_valid"`
	LastTestedAt *time.Time `db:"last_tested_at"`
	CreatedAt    time.Time  `db:"created_at"`
	UpdatedAt    time.Time  `db:"updated_at"`
}

// Credentials are what an exchange knows a user's program by.
type Credentials struct {
	APIKey, APISecret secret.Text
	// Passphrase is empty where the exchange has none.
	Passphrase secret.Text
}

// check returns ErrNoPassphrase when the exchange wants one that is not there.
func (c Credentials) check(exchange string) error {
	if venues[exchange].passphrase && c.Passphrase.Reveal() == "" {
		return ErrNoPassphrase
	}
	return nil
}

// masked shows a key's first and last four characters, and nothing of a key that these would nearly be the whole of.
func (c Credentials) masked() string {
	key := c.APIKey.Reveal() // ASCII
	if len(key) <= 10 {
		return "…"
	}
	return key[:4] + "…" + key[len(key)-4:]
}

// Sealed is the column of credentials.
var Sealed = seal.Column{Values: "exchange keys", Table: "exchange_keys", Column: "credentials_sealed", ID: "id", Purpose: keyring.ExchangeKeys}

// sealed is what is sealed, as one, of Credentials.
type sealed struct {
	APIKey     string `json:"api_key"`
	APISecret  string `json:"api_secret"`
	Passphrase string `json:"passphrase,omitempty"`
}

func (c Credentials) seal(ring *keyring.Ring, id uuid.UUID) ([]byte, error) {
	text, err := json.Marshal(sealed{c.APIKey.Reveal(), c.APISecret.Reveal(), c.Passphrase.Reveal()})
	if err != nil {
		return nil, errors.New("encoding an exchange key") // the cause might repeat it
	}
	return ring.Seal(keyring.ExchangeKeys, id.String(), text)
}

func open(ring *keyring.Ring, id uuid.UUID, seal []byte) (Credentials, error) {
	text, err := ring.Open(keyring.ExchangeKeys, id.String(), seal)
	if err != nil {
		return Credentials{}, fmt.Errorf("opening exchange key %s: %w", id, err)
	}
	var s sealed
	if json.Unmarshal(text, &s) != nil {
		return Credentials{}, fmt.Errorf("decoding exchange key %s", id)
	}
	return Credentials{secret.New(s.APIKey), secret.New(s.APISecret), secret.New(s.Passphrase)}, nil
}
