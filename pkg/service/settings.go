package service

import (
	"errors"
	"net/netip"
	"runtime"
	"strings"

	"github.com/countersign/countersign/pkg/stores"
)

// Settings are the settings that all services have. Each service embeds them in its own. ListenAddr and OpsListenAddr have a
// default of their own in each service.
type Settings struct {
	stores.PostgresConfig
	stores.RedisConfig
	// ListenAddr is the address of the API.
	ListenAddr string `envconfig:"LISTEN_ADDR"`
	// OpsListenAddr is the address of the operations port, which must not be published.
	OpsListenAddr string `envconfig:"OPS_LISTEN_ADDR"`
	// HashPermits is the number of PINs or passwords that are hashed at a time: 0 to 1024. 0: the number of cores that the
	// container may use.
	HashPermits int `envconfig:"HASH_PERMITS" default:"0"`
	// HashPlaces is the number of requests that may hash or wait for it: 1 to 10000.
	HashPlaces int `envconfig:"HASH_PLACES" default:"32"`
	// TrustedProxies are the networks (CIDR) of the proxies whose X-Forwarded-For is trusted. Default: none.
	TrustedProxies []string `envconfig:"TRUSTED_PROXIES"`
}

func (s *Settings) shared() *Settings { return s }

// Validate names every setting that is wrong and prints no value.
func (s *Settings) Validate() error {
	_, err := s.proxies()
	problems := []error{s.PostgresConfig.Validate(), s.RedisConfig.Validate(), err}
	if s.HashPermits < 0 || s.HashPermits > 1024 {
		problems = append(problems, errors.New("HASH_PERMITS must be 0 to 1024; 0 means the number of cores"))
	}
	if s.HashPlaces < 1 || s.HashPlaces > 10000 {
		problems = append(problems, errors.New("HASH_PLACES must be 1 to 10000"))
	}
	return errors.Join(problems...)
}

var errProxies = errors.New("TRUSTED_PROXIES must be a list of networks, for example 10.0.0.0/8, separated by commas")

// proxies returns TrustedProxies, decoded.
func (s *Settings) proxies() ([]netip.Prefix, error) {
	var proxies []netip.Prefix
	for _, text := range s.TrustedProxies {
		network, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil || network.Addr().Is4In6() {
			return nil, errProxies // without the cause, which contains the value
		}
		proxies = append(proxies, network)
	}
	return proxies, nil
}

// permits returns HashPermits, or the number of cores for 0. GOMAXPROCS respects the CPU limit of a container.
func (s *Settings) permits() int {
	if s.HashPermits == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return s.HashPermits
}
