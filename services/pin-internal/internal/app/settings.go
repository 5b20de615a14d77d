package app

import (
	"errors"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/session"
)

// Settings are the settings of pin-internal. .env.example explains each.
type Settings struct {
	service.Settings
	pin.Config
	Sessions session.Config
}

// DefaultSettings returns the defaults that are not in tags.
func DefaultSettings() *Settings {
	return &Settings{Settings: service.Settings{ListenAddr: ":8083", OpsListenAddr: ":9083"}, Config: pin.Config{Budget: pin.DefaultBudget},
		Sessions: session.DefaultConfig}
}

// Validate names every setting that is wrong and prints no value.
func (s *Settings) Validate() error {
	return errors.Join(s.Settings.Validate(), s.Config.Validate(), s.Sessions.Validate())
}
