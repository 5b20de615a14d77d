package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/config"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

// settings are what the environment says, each as NAME or as NAME_FILE.
type settings struct {
	stores.PostgresConfig
	stores.RedisConfig
	account.Config
	api.Rates
	mfa.Budget
	// Fields of their own: embedded Configs would be one name.
	KYC  kyc.Config
	Mail mail.Config
	// Keys is the keyring of auth, "id:base64,…". It is secret.
	Keys string `envconfig:"AUTH_KEYS"`
	// PublicURL is where people reach this service, and the issuer in every access token.
	PublicURL string `envconfig:"PUBLIC_URL"`
	// SignInURL is the page where people sign in, to which they are sent once their address is confirmed; optional.
	SignInURL string `envconfig:"SIGN_IN_URL"`
	// AllowedOrigins are those of pages that may sign people in from a browser, as pin-admin's console; none by default.
	AllowedOrigins []string `envconfig:"ALLOWED_ORIGINS"`
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For counts; none by default.
	TrustedProxies []string `envconfig:"TRUSTED_PROXIES"`
	// ListenAddr is the API's address, OpsListenAddr that of health and metrics, which is not to be published.
	ListenAddr    string `envconfig:"LISTEN_ADDR" default:":8081"`
	OpsListenAddr string `envconfig:"OPS_LISTEN_ADDR" default:":9081"`
	// HashPermits is how many passwords are hashed at a time; 0: one for each core.
	HashPermits int `envconfig:"HASH_PERMITS" default:"0"`
	// HashPlaces bounds how many requests hash or wait to. Half of them are used: a pool keeps room for another tenant,
	// and all passwords are of one.
	HashPlaces int `envconfig:"HASH_PLACES" default:"32"`
	// SigningKeyLifetime is the age at which the key that signs access tokens is replaced: at least an hour.
	SigningKeyLifetime time.Duration `envconfig:"SIGNING_KEY_LIFETIME" default:"2160h"`

	ring    *keyring.Ring
	proxies []netip.Prefix
}

func loadSettings() (settings, error) {
	var s settings
	if err := config.Load(&s); err != nil {
		return settings{}, err
	}
	if s.HashPermits == 0 {
		s.HashPermits = runtime.GOMAXPROCS(0)
	}
	return s, s.validate()
}

// validate names everything that is wrong and prints none of it.
func (s *settings) validate() error {
	var problems []error
	wrong := func(is bool, what string) {
		if is {
			problems = append(problems, errors.New(what))
		}
	}
	var err error
	if s.ring, err = keyring.Parse(s.Keys); err != nil {
		problems = append(problems, fmt.Errorf("AUTH_KEYS: %w", err))
	}
	s.proxies, err = web.ParseProxies(s.TrustedProxies)
	problems = append(problems, err, s.Rates.Validate(), s.PasswordBudget.Validate(), s.Budget.Validate())
	wrong(!isBaseURL(s.PublicURL), "PUBLIC_URL is not an http:// or https:// URL without user, query and fragment")
	wrong(s.SignInURL != "" && !isBaseURL(s.SignInURL), "SIGN_IN_URL is not an http:// or https:// URL without user, query and fragment")
	wrong(s.Mail.LinkURL != "" && !isBaseURL(s.Mail.LinkURL), "EMAIL_LINK_URL is not an http:// or https:// URL without user, query and fragment")
	problems = append(problems, s.Mail.Check())
	wrong(slices.ContainsFunc(s.AllowedOrigins, isNoOrigin), "ALLOWED_ORIGINS is not a list of origins, as https://admin.example.com, with commas between")
	wrong(s.HashPermits < 1, "HASH_PERMITS is negative")
	wrong(s.HashPlaces < 1, "HASH_PLACES is not positive")
	wrong(s.AccessLifetime <= 0, "ACCESS_LIFETIME is not positive")
	wrong(s.SessionLifetime < s.AccessLifetime, "SESSION_LIFETIME is shorter than ACCESS_LIFETIME")
	wrong(s.SigningKeyLifetime < time.Hour, "SIGNING_KEY_LIFETIME is less than 1h")
	return errors.Join(append(problems, s.KYC.Validate())...)
}

func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// isNoOrigin: browsers spell an origin in one way, and it is compared as it is spelled.
func isNoOrigin(text string) bool {
	u, err := url.Parse(text)
	return err != nil || !isBaseURL(text) || u.Scheme+"://"+strings.ToLower(u.Host) != text
}
