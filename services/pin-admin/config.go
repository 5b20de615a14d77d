package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"

	"github.com/countersign/countersign/pkg/config"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/web"
)

// settings are pin-admin's, from the environment. .env.example explains each.
type settings struct {
	stores.PostgresConfig
	stores.RedisConfig
	pin.Budget
	ListenAddr    string `envconfig:"LISTEN_ADDR" default:":8082"`
	OpsListenAddr string `envconfig:"OPS_LISTEN_ADDR" default:":9082"`
	// Keys is PIN_KEYS as it was given: a secret, decoded into ring.
	Keys        string `envconfig:"PIN_KEYS"`
	HashPermits int    `envconfig:"HASH_PERMITS"`
	HashPlaces  int    `envconfig:"HASH_PLACES" default:"32"`
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For counts; none by default.
	TrustedProxies []string `envconfig:"TRUSTED_PROXIES"`
	// Issuer is auth's public URL: the iss of the access tokens that count here.
	Issuer string `envconfig:"AUTH_ISSUER"`

	ring    *keyring.Ring
	proxies []netip.Prefix
}

func loadSettings() (settings, error) {
	var s settings
	if err := config.Load(&s); err != nil {
		return settings{}, err
	}
	if s.Keys == "" {
		return settings{}, errors.New("PIN_KEYS is not set")
	}
	var err error
	if s.ring, err = keyring.Parse(s.Keys); err != nil {
		return settings{}, fmt.Errorf("PIN_KEYS: %w", err)
	}
	if s.HashPermits == 0 {
		s.HashPermits = runtime.NumCPU()
	}
	if s.HashPermits < 1 || s.HashPermits > 1024 {
		return settings{}, errors.New("HASH_PERMITS must be 1 to 1024, or 0 for one a core")
	}
	if s.HashPlaces < 1 || s.HashPlaces > 10000 {
		return settings{}, errors.New("HASH_PLACES must be 1 to 10000")
	}
	if s.proxies, err = web.ParseProxies(s.TrustedProxies); err != nil {
		return settings{}, err
	}
	if s.Issuer == "" {
		return settings{}, errors.New("AUTH_ISSUER is not set")
	}
	return s, s.Budget.Validate()
}
