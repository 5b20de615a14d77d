package app

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/testkit/settingstest"
)

var valid = map[string]string{
	"DATABASE_URL": "postgres://auth:pw@127.0.0.1/db", "REDIS_URL": "redis://127.0.0.1", "PUBLIC_URL": "https://auth.example.test",
	"AUTH_KEYS": "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
}

func TestSettingsAreDocumented(t *testing.T) { settingstest.Documented(t, DefaultSettings(), "auth") }

func TestSettingsHaveDefaults(t *testing.T) {
	s := DefaultSettings()
	if err := settingstest.Load(t, s, valid); err != nil {
		t.Fatal(err)
	}
	if s.ListenAddr != ":8081" || s.OpsListenAddr != ":9081" || s.AccessLifetime != 15*time.Minute || s.SessionLifetime != 30*24*time.Hour ||
		s.HashPermits != 0 || s.HashPlaces != 32 || s.Keys != valid["AUTH_KEYS"] || s.PostgresConfig.URL != valid["DATABASE_URL"] {
		t.Errorf("got %+v", s)
	}
	if s.PasswordBudget != (budget.Limits{Attempts: 10, Lock: time.Minute, LockMax: 15 * time.Minute, Failures: 100}) ||
		s.MFABudget != (budget.Limits{Attempts: 5, Lock: 5 * time.Minute, LockMax: time.Hour, Failures: 100}) {
		t.Errorf("budgets: %+v, %+v", s.PasswordBudget, s.MFABudget)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	settingstest.Refused(t, DefaultSettings, valid, [][]string{
		{"AUTH_KEYS="}, {"AUTH_KEYS=canary"}, {"AUTH_KEYS=a:canary"}, {"AUTH_KEYS_FILE=/canary"},
		{"PUBLIC_URL="}, {"PUBLIC_URL=canary.example.test"}, {"PUBLIC_URL=ftp://canary"}, {"PUBLIC_URL=https://canary:pw@example.test"},
		{"PUBLIC_URL=https://example.test?canary=1"}, {"PUBLIC_URL=https://[canary"},
		{"SIGN_IN_URL=canary"}, {"SIGN_IN_URL=https://example.test/#canary"}, {"EMAIL_LINK_URL=javascript:canary"}, {"EMAIL_LINK_URL=https://example.test?canary"},
		{"SMTP_URL=canary"}, {"SMTP_URL=smtp://ann:canary@:587"}, {"SMTP_URL=smtp://ann:canary@mail?tls=1"}, {"MAIL_FROM=canary"}, {"MAIL_FROM=Canary <canary@exämple.test>"},
		{"KYC_SUMSUB_LEVELS=a, canary"}, {"KYC_VERIFF_LEVELS=canary,,b"}, {"RETENTION_SESSIONS=23h"}, {"RETENTION_UNCONFIRMED_USERS=23h"}, {"RETENTION_MAILS=59m"}, {"RETENTION_GUESS_BUDGETS=2159h"}, {"RETENTION_GUESS_BUDGETS=0"},
		{"ALLOWED_ORIGINS=canary.example.test"}, {"ALLOWED_ORIGINS=*"}, {"ALLOWED_ORIGINS=https://canary.example.test/"},
		{"ALLOWED_ORIGINS=https://example.test, https://canary.example.test"}, {"ALLOWED_ORIGINS=https://Canary.example.test"},
		{"TRUSTED_PROXIES=canary"}, {"TRUSTED_PROXIES=10.0.0.0/8,10.0.0.1"},
		{"PASSWORD_BUDGET_ATTEMPTS=0"}, {"PASSWORD_BUDGET_ATTEMPTS=101"}, {"PASSWORD_BUDGET_LOCK=0"}, {"PASSWORD_BUDGET_LOCK_MAX=1s"}, {"PASSWORD_BUDGET_FAILURES=9"}, {"PASSWORD_BUDGET_FAILURES=101"},
		{"MFA_BUDGET_ATTEMPTS=0"}, {"MFA_BUDGET_ATTEMPTS=11"}, {"MFA_BUDGET_LOCK=1ms"}, {"MFA_BUDGET_LOCK=canary"}, {"MFA_BUDGET_LOCK_MAX=1m"},
		{"MFA_BUDGET_FAILURES=0"}, {"MFA_BUDGET_FAILURES=101"}, {"RATE_LOGIN=0"}, {"RATE_SIGNUP=-1"}, {"RATE_STATUS=canary"},
		{"HASH_PERMITS=canary"}, {"HASH_PERMITS=-1"}, {"HASH_PERMITS=1025"}, {"HASH_PLACES=0"}, {"HASH_PLACES=10001"}, {"HASH_PLACES=canary"}, {"DATABASE_CONNECTIONS=canary"},
		{"ACCESS_LIFETIME=0"}, {"ACCESS_LIFETIME=canary"}, {"SESSION_LIFETIME=1s"}, {"SIGNING_KEY_LIFETIME=59m"}, {"SIGNING_KEY_LIFETIME=canary"},
		{"KYC_SUMSUB_SECRET=canary,"}, {"KYC_PERSONA_SECRET=canary, canary"}, {"KYC_ONFIDO_SECRET=canary,canary,canary"}, {"KYC_VERIFF_SECRET= canary"},
		{"KYC_BEARER_TOKEN=canary"},
	})
}

func TestSMTPURLAndMailDirExcludeEachOther(t *testing.T) {
	s := DefaultSettings()
	environment := maps.Clone(valid)
	environment["SMTP_URL"], environment["EMAIL_LINK_URL"] = "smtp://ann:canary@mail.example.test", "https://app.example.test/account"
	if err := settingstest.Load(t, s, environment); err != nil || s.Mail.SMTP == "" || s.Mail.Folder != "" || s.Mail.From == "" || s.Mail.LinkURL != "https://app.example.test/account" {
		t.Errorf("%v", err)
	}
	t.Setenv("MAIL_DIR", "/mails")
	if err := settingstest.Load(t, DefaultSettings(), nil); err == nil || !strings.Contains(err.Error(), "MAIL_DIR") || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}

func TestEveryWrongSettingIsNamed(t *testing.T) {
	wrong := map[string]string{"AUTH_KEYS": "", "PUBLIC_URL": "", "HASH_PERMITS": "-1", "HASH_PLACES": "-1", "ACCESS_LIFETIME": "0",
		"PASSWORD_BUDGET_ATTEMPTS": "0", "MFA_BUDGET_ATTEMPTS": "0", "DATABASE_URL": "", "REDIS_URL": ""}
	err := settingstest.Load(t, DefaultSettings(), wrong)
	for name := range wrong {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}
