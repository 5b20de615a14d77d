package app

import (
	"errors"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/session"
)

// Settings are the settings of pin-internal. .env.example explains each.
type Settings struct {
	service.Settings
	pin.Config
	Sessions  session.Config
	Approvals approval.Config
	// ApprovalURL is the base of the links that people open: the URL at which people reach pin-admin.
	ApprovalURL string `envconfig:"APPROVAL_URL"`
	// ReceiptIssuer is the issuer in receipts. Tool servers read the public keys below it. Empty: ApprovalURL.
	ReceiptIssuer string `envconfig:"RECEIPT_ISSUER"`
	// Waits is how many requests may wait for the approvals of one instance at the same time, at one replica: at least 1.
	Waits int `envconfig:"APPROVAL_WAITS"`
}

// DefaultSettings returns the defaults that are not in tags.
func DefaultSettings() *Settings {
	return &Settings{Settings: service.Settings{ListenAddr: ":8083", OpsListenAddr: ":9083"}, Config: pin.Config{Budget: pin.DefaultBudget},
		Sessions: session.DefaultConfig, Approvals: approval.DefaultConfig, Waits: 1000}
}

// Validate names every setting that is wrong and prints no value.
func (s *Settings) Validate() error {
	_, err := approval.ParseURL("APPROVAL_URL", s.ApprovalURL)
	if _, wrong := s.receiptIssuer(); s.ReceiptIssuer != "" {
		err = errors.Join(err, wrong)
	}
	if s.Waits < 1 {
		err = errors.Join(err, errors.New("APPROVAL_WAITS is not positive"))
	}
	return errors.Join(s.Settings.Validate(), s.Config.Validate(), s.Sessions.Validate(), s.Approvals.Validate(), err)
}

// receiptIssuer returns the issuer in receipts.
func (s *Settings) receiptIssuer() (approval.URL, error) {
	if s.ReceiptIssuer == "" {
		return approval.ParseURL("APPROVAL_URL", s.ApprovalURL)
	}
	return approval.ParseURL("RECEIPT_ISSUER", s.ReceiptIssuer)
}
