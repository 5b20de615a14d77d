package app

import (
	"errors"
	"time"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/retention"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/services/pin-admin/internal/api"
	"github.com/countersign/countersign/services/pin-admin/internal/console"
)

// Settings are the settings of pin-admin. .env.example explains each.
type Settings struct {
	service.Settings
	pin.Config
	api.Rates
	Retention retention.PinAdminConfig
	// Issuer is the public URL of auth. Access tokens must name it as their issuer.
	Issuer string `envconfig:"AUTH_ISSUER"`
	// ApprovalURL is the base of the links that people open: the URL at which people reach this service.
	ApprovalURL string `envconfig:"APPROVAL_URL"`
	// ApprovalUseWithin is how long an approval can be used after the person has approved: 10s to 1h.
	ApprovalUseWithin time.Duration `envconfig:"APPROVAL_USE_WITHIN" default:"2m"`
	// LongPolls is how many requests of one user may wait for a PIN at the same time, at one replica: at least 1.
	LongPolls int `envconfig:"LONG_POLLS_PER_USER" default:"10"`
}

// DefaultSettings returns the defaults that are not in tags.
func DefaultSettings() *Settings {
	return &Settings{Settings: service.Settings{ListenAddr: ":8082", OpsListenAddr: ":9082"}, Config: pin.Config{Budget: pin.DefaultBudget}}
}

// Validate names every setting that is wrong and prints no value.
func (s *Settings) Validate() error {
	_, err := console.Pages(s.Issuer)
	if _, wrong := approval.ParseURL("APPROVAL_URL", s.ApprovalURL); wrong != nil {
		err = errors.Join(err, wrong)
	}
	if s.ApprovalUseWithin < 10*time.Second || s.ApprovalUseWithin > time.Hour {
		err = errors.Join(err, errors.New("APPROVAL_USE_WITHIN must be 10s to 1h"))
	}
	if s.LongPolls < 1 {
		err = errors.Join(err, errors.New("LONG_POLLS_PER_USER is not positive"))
	}
	return errors.Join(s.Settings.Validate(), s.Config.Validate(), s.Rates.Validate(), s.Retention.Validate(), err)
}
