package app

import (
	"errors"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/service"
)

// Settings are the settings of pin-internal. .env.example explains each.
type Settings struct {
	service.Settings
	pin.Budget
	// Keys is a keyring: "id:base64,…". It is secret.
	Keys string `envconfig:"PIN_KEYS"`
}

// DefaultSettings returns the defaults that are not in tags.
func DefaultSettings() *Settings {
	return &Settings{Settings: service.Settings{ListenAddr: ":8083", OpsListenAddr: ":9083"}}
}

// Validate names every setting that is wrong and prints no value.
func (s *Settings) Validate() error {
	_, err := keyring.ParseSetting("PIN_KEYS", s.Keys)
	return errors.Join(s.Settings.Validate(), s.Budget.Validate(), err)
}
