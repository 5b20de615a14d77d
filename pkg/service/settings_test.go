package service

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/stores"
)

func TestTrustedProxiesAreNetworks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"10.0.0.0/8": true, " fd00::/8 ": true, "127.0.0.1/32": true, "": false, "10.0.0.1": false, "10.0.0.0/33": false, "example.com/8": false, "::ffff:10.0.0.0/104": false,
	} {
		s := Settings{TrustedProxies: []string{text}}
		if _, err := s.proxies(); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

type nested struct {
	Attempts int
	LockMax  time.Duration `split_words:"true"`
}

// example has every kind of field that settings of services have.
type example struct {
	Settings
	Pages  []string `envconfig:"PAGES"`
	Budget nested   `envconfig:"BUDGET"`
	Mail   struct {
		From string `envconfig:"MAIL_FROM" default:"nobody"`
	}
}

func (e *example) Validate() error { return e.Settings.Validate() }

func TestLoad(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://localhost/x")
	t.Setenv("PAGES", "a,b")
	t.Setenv("BUDGET_LOCK_MAX", "1m")
	t.Setenv("LOCK_MAX", "2m") // a variable of another program
	file := filepath.Join(t.TempDir(), "redis")
	if err := os.WriteFile(file, []byte("redis://localhost\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REDIS_URL", "") // restores the environment after the test
	t.Setenv("REDIS_URL_FILE", file)
	e := &example{Settings: Settings{ListenAddr: ":1"}, Budget: nested{Attempts: 5}}
	if err := Load(e); err != nil {
		t.Fatal(err)
	}
	if e.ListenAddr != ":1" || e.HashPlaces != 32 || e.Budget.Attempts != 5 || e.Budget.LockMax != time.Minute || e.Mail.From != "nobody" ||
		!slices.Equal(e.Pages, []string{"a", "b"}) || e.RedisConfig.URL != "redis://localhost" {
		t.Errorf("got %+v", e)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	want := []string{"DATABASE_URL", "DATABASE_CONNECTIONS", "DATABASE_POOLED", "REDIS_URL", "LISTEN_ADDR", "OPS_LISTEN_ADDR", "HASH_PERMITS",
		"HASH_PLACES", "TRUSTED_PROXIES", "PAGES", "BUDGET_ATTEMPTS", "BUDGET_LOCK_MAX", "MAIL_FROM"}
	if got := Names(&example{}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLoadErrorsNameTheSettingAndNotItsValue(t *testing.T) {
	for name, value := range map[string]string{
		"BUDGET_ATTEMPTS": "canary", "BUDGET_LOCK_MAX": "canary", "HASH_PERMITS": "canary", "HASH_PLACES": "0", "TRUSTED_PROXIES": "canary",
		"DATABASE_POOLED": "canary", "DATABASE_URL": "canary", "DATABASE_CONNECTIONS": "0", "REDIS_URL": "canary", "PAGES_FILE": "/canary",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DATABASE_URL", "postgres://localhost/x")
			t.Setenv("REDIS_URL", "redis://localhost")
			t.Setenv(name, value)
			err := Load(&example{})
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHashPermitsDefaultToTheCores(t *testing.T) {
	t.Parallel()
	for permits, valid := range map[int]bool{-1: false, 0: true, 1: true, 1024: true, 1025: false} {
		s := Settings{PostgresConfig: stores.PostgresConfig{URL: "postgres://localhost/x", Connections: 1}, RedisConfig: stores.RedisConfig{URL: "redis://localhost"},
			HashPermits: permits, HashPlaces: 1}
		if err := s.Validate(); (err == nil) != valid {
			t.Errorf("%d: %v", permits, err)
		}
	}
	unset, three := Settings{}, Settings{HashPermits: 3}
	if got := unset.permits(); got != runtime.GOMAXPROCS(0) {
		t.Errorf("0 means %d permits, want %d", got, runtime.GOMAXPROCS(0))
	}
	if got := three.permits(); got != 3 {
		t.Errorf("3 means %d permits", got)
	}
}
