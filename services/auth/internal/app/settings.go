package app

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/retention"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/services/auth/internal/api"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// Settings are the settings of auth. .env.example explains each.
type Settings struct {
	service.Settings
	usersession.Config
	api.Rates
	// PasswordBudget limits guesses at one password: 1 to 100 attempts before a lock, and at most 100 failures. Strangers, each
	// known network and the user's own sessions have separate budgets of this size.
	PasswordBudget budget.Limits `envconfig:"PASSWORD_BUDGET"`
	// MFABudget limits guesses at the codes of one user: 1 to 10 attempts before a lock, and at most 100 failures.
	MFABudget budget.Limits `envconfig:"MFA_BUDGET"`
	KYC       kyc.Config
	Mail      mail.Config
	Retention retention.AuthConfig
	// Keys is a keyring: "id:base64,…". It is secret.
	Keys string `envconfig:"AUTH_KEYS"`
	// PublicURL is the URL of this service for users. It is also the issuer in every access token.
	PublicURL string `envconfig:"PUBLIC_URL"`
	// SignInURL is the page where users sign in after they have confirmed their address. Optional.
	SignInURL string `envconfig:"SIGN_IN_URL"`
	// AllowedOrigins are the origins of web pages that may call this service from a browser, for example pin-admin's console.
	// Default: none.
	AllowedOrigins []string `envconfig:"ALLOWED_ORIGINS"`
	// SigningKeyLifetime is the age at which the key that signs access tokens is replaced: at least an hour.
	SigningKeyLifetime time.Duration `envconfig:"SIGNING_KEY_LIFETIME" default:"2160h"`
}

// DefaultSettings returns the defaults that are not in tags.
func DefaultSettings() *Settings {
	return &Settings{Settings: service.Settings{ListenAddr: ":8081", OpsListenAddr: ":9081"}, PasswordBudget: password.DefaultBudget, MFABudget: mfa.DefaultBudget}
}

// Validate names every setting that is wrong and prints no value.
func (s *Settings) Validate() error {
	_, err := s.Ring()
	problems := []error{err, s.Settings.Validate(), s.Config.Validate(), s.Rates.Validate(), s.PasswordBudget.Validate("PASSWORD_BUDGET", 100, 100),
		s.MFABudget.Validate("MFA_BUDGET", 10, 100), s.Mail.Validate(), s.KYC.Validate(), s.Retention.Validate()}
	refuse := func(invalid bool, message string) {
		if invalid {
			problems = append(problems, errors.New(message))
		}
	}
	refuse(!isBaseURL(s.PublicURL), "PUBLIC_URL is not an http:// or https:// URL without user, query and fragment")
	refuse(s.SignInURL != "" && !isBaseURL(s.SignInURL), "SIGN_IN_URL is not an http:// or https:// URL without user, query and fragment")
	refuse(s.Mail.LinkURL != "" && !isBaseURL(s.Mail.LinkURL), "EMAIL_LINK_URL is not an http:// or https:// URL without user, query and fragment")
	refuse(slices.ContainsFunc(s.AllowedOrigins, isNotOrigin), "ALLOWED_ORIGINS must be a list of origins, for example https://admin.example.com, separated by commas")
	refuse(s.SigningKeyLifetime < time.Hour, "SIGNING_KEY_LIFETIME is less than 1h")
	return errors.Join(problems...)
}

// Ring returns the keyring in Keys.
func (s *Settings) Ring() (*keyring.Ring, error) { return keyring.ParseSetting("AUTH_KEYS", s.Keys) }

func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// isNotOrigin reports whether text is not an origin as browsers spell it. Origins are compared as text.
func isNotOrigin(text string) bool {
	u, err := url.Parse(text)
	return err != nil || !isBaseURL(text) || u.Scheme+"://"+strings.ToLower(u.Host) != text
}
