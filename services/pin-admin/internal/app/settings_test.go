package app

import (
	"testing"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/testkit/settingstest"
)

var valid = map[string]string{
	"PIN_KEYS": "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AUTH_ISSUER": "https://auth.example.test",
	"APPROVAL_URL": "https://approve.example.test",
	"DATABASE_URL": "postgres://localhost/x", "REDIS_URL": "redis://localhost",
}

func TestSettingsAreDocumented(t *testing.T) {
	settingstest.Documented(t, DefaultSettings(), "pin-admin")
}

func TestSettingsHaveDefaults(t *testing.T) {
	s := DefaultSettings()
	if err := settingstest.Load(t, s, valid); err != nil {
		t.Fatal(err)
	}
	if s.ListenAddr != ":8082" || s.OpsListenAddr != ":9082" || s.Budget != pin.DefaultBudget || s.MyPIN != 10 || s.Approvals != 60 || s.LongPolls != 10 {
		t.Errorf("got %s, %s, %+v", s.ListenAddr, s.OpsListenAddr, s.Budget)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	settingstest.Refused(t, DefaultSettings, valid, [][]string{
		{"PIN_KEYS=", "PIN_KEYS is not set"},
		{"PIN_KEYS=canary", "PIN_KEYS: entry 1"},
		{"AUTH_ISSUER=", "AUTH_ISSUER"},
		{"AUTH_ISSUER=canary", "AUTH_ISSUER"},
		{"APPROVAL_URL=", "APPROVAL_URL is not"},
		{"APPROVAL_URL=http://canary.example.test", "APPROVAL_URL must"},
		{"PIN_BUDGET_ATTEMPTS=0", "PIN_BUDGET_ATTEMPTS must"},
		{"RATE_MY_PIN=0", "RATE_MY_PIN is not positive"},
		{"APPROVAL_USE_WITHIN=9s", "APPROVAL_USE_WITHIN must"}, {"APPROVAL_USE_WITHIN=61m", "APPROVAL_USE_WITHIN must"}, {"APPROVAL_USE_WITHIN=canary"},
		{"RATE_APPROVALS=0", "RATE_APPROVALS is not positive"},
		{"LONG_POLLS_PER_USER=0", "LONG_POLLS_PER_USER is not positive"},
		{"RETENTION_ATTEMPTS=167h", "RETENTION_ATTEMPTS must"}, {"RETENTION_ATTEMPTS=0", "RETENTION_ATTEMPTS must"},
		{"RETENTION_APPROVALS=23h", "RETENTION_APPROVALS must"},
		{"RETENTION_AUDIT=2159h", "RETENTION_AUDIT must"}, {"RETENTION_AUDIT=-1h", "RETENTION_AUDIT must"}, {"RETENTION_AUDIT=canary"},
		{"HASH_PERMITS=-1", "HASH_PERMITS must"},
		{"TRUSTED_PROXIES=canary", "TRUSTED_PROXIES must"},
	})
}
