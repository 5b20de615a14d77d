package pin

import (
	"errors"
	"time"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
)

// Config is the part of a service's settings that concerns PINs.
type Config struct {
	// Keys is the keyring of PINs: "id:base64,…". It is secret.
	Keys string `envconfig:"PIN_KEYS"`
	// Budget is the guess budget of each holder.
	Budget budget.Limits `envconfig:"PIN_BUDGET"`
}

// DefaultBudget is the guess budget of a deployment that sets no other.
var DefaultBudget = budget.Limits{Attempts: 5, Lock: 15 * time.Minute, LockMax: 24 * time.Hour, Failures: 50}

// PSD2's technical standard (2018/389, article 4) allows 5 consecutive failures before a lock. NIST SP 800-63B allows 100
// before the secret must be set again.
const (
	maxAttempts = 10
	maxFailures = 100
)

// Validate names every setting that is wrong and prints no value.
func (c Config) Validate() error {
	_, err := c.Ring()
	return errors.Join(err, c.Budget.Validate("PIN_BUDGET", maxAttempts, maxFailures))
}

// Ring returns the keyring in Keys.
func (c Config) Ring() (*keyring.Ring, error) { return keyring.ParseSetting("PIN_KEYS", c.Keys) }
