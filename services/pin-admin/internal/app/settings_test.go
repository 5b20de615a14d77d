package app

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/service"
)

func TestSettings(t *testing.T) {
	valid := map[string]string{
		"PIN_KEYS": "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AUTH_ISSUER": "https://auth.example.test",
		"DATABASE_URL": "postgres://localhost/x", "REDIS_URL": "redis://localhost",
	}
	for variable, value := range map[string]string{
		"": "", "PIN_KEYS": "canary", "AUTH_ISSUER": "canary", "PIN_BUDGET_ATTEMPTS": "0", "HASH_PERMITS": "-1", "TRUSTED_PROXIES": "canary",
	} {
		t.Run(variable, func(t *testing.T) {
			for name, value := range valid {
				t.Setenv(name, value)
			}
			if variable != "" {
				t.Setenv(variable, value)
			}
			s := DefaultSettings()
			err := service.Load(s)
			if variable == "" {
				if err != nil || s.ListenAddr != ":8082" || s.OpsListenAddr != ":9082" {
					t.Errorf("%v, %s, %s", err, s.ListenAddr, s.OpsListenAddr)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), variable) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v", err)
			}
		})
	}
}
