// Package exchange stores the API keys that users have at crypto exchanges, and tests such a key at its exchange. It
// guarantees that:
//   - credentials are stored only in the database, and only sealed (encrypted);
//   - credentials are revealed only after an entry in the audit trail;
//   - credentials are sent only to the exchange's own host, in a read-only request.
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
	"github.com/countersign/countersign/pkg/seal"
	"github.com/countersign/countersign/pkg/secret"
)

// The reasons to refuse an operation on a key.
var (
	ErrNoKey        = fault.New(fault.NotFound, "exchange_key_not_found", "API key not found")
	ErrTooMany      = fault.New(fault.Conflict, "too_many_exchange_keys", fmt.Sprintf("There are already %d API keys: delete an API key first", MaxKeys))
	ErrReplaced     = fault.New(fault.Conflict, "exchange_key_replaced", "The API key was changed while it was tested; test it again")
	ErrNoPassphrase = fault.New(fault.Invalid, "passphrase_missing", "This exchange needs the passphrase of the API key").About("api_passphrase")
)

// MaxKeys is the maximum number of keys of one user.
const MaxKeys = 100

// Key is a stored key without its secrets.
type Key struct {
	ID        uuid.UUID `db:"id"`
	Exchange  string    `db:"exchange"`
	Label     *string   `db:"label"`
	MaskedKey string    `db:"masked_key"`
	IsTestnet bool      `db:"is_testnet"`
	// Permissions is the user's own description of what the key may do.
	Permissions pq.StringArray `db:"permissions"`
	// IsValid is the result of the last test. It is nil before the first test.
	IsValid      *bool      `db:"is_valid"`
	LastTestedAt *time.Time `db:"last_tested_at"`
	CreatedAt    time.Time  `db:"created_at"`
	UpdatedAt    time.Time  `db:"updated_at"`
}

// Credentials authenticate a program at an exchange.
type Credentials struct {
	APIKey, APISecret secret.Text
	// Passphrase is empty for an exchange that does not use it.
	Passphrase secret.Text
}

// check returns ErrNoPassphrase when the exchange requires a passphrase and there is none.
func (c Credentials) check(exchange string) error {
	if exchanges[exchange].passphrase && c.Passphrase.Reveal() == "" {
		return ErrNoPassphrase
	}
	return nil
}

// masked returns the first four and the last four characters of the key. It hides a key of at most 10 characters completely,
// because eight characters would reveal most of the key.
func (c Credentials) masked() string {
	key := c.APIKey.Reveal() // ASCII, as the OpenAPI document requires
	if len(key) <= 10 {
		return "…"
	}
	return key[:4] + "…" + key[len(key)-4:]
}

// Sealed describes the column with the sealed credentials.
var Sealed = seal.Column{Values: "exchange keys", Table: "exchange_keys", Column: "credentials_sealed", ID: "id", Purpose: keyring.ExchangeKeys}

// plaintext is the JSON form in which Credentials are sealed.
type plaintext struct {
	APIKey     string `json:"api_key"`
	APISecret  string `json:"api_secret"`
	Passphrase string `json:"passphrase,omitempty"`
}

func (c Credentials) seal(ring *keyring.Ring, id uuid.UUID) ([]byte, error) {
	text, err := json.Marshal(plaintext{c.APIKey.Reveal(), c.APISecret.Reveal(), c.Passphrase.Reveal()})
	if err != nil {
		return nil, errors.New("encoding an exchange key") // the cause is left out: it may contain the credentials
	}
	return ring.Seal(keyring.ExchangeKeys, id.String(), text)
}

func openCredentials(ring *keyring.Ring, id uuid.UUID, sealed []byte) (Credentials, error) {
	text, err := ring.Open(keyring.ExchangeKeys, id.String(), sealed)
	if err != nil {
		return Credentials{}, fmt.Errorf("opening exchange key %s: %w", id, err)
	}
	var p plaintext
	if json.Unmarshal(text, &p) != nil {
		return Credentials{}, fmt.Errorf("decoding exchange key %s", id)
	}
	return Credentials{secret.New(p.APIKey), secret.New(p.APISecret), secret.New(p.Passphrase)}, nil
}
