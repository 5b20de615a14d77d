package app

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/service"
)

func load() (*Settings, error) {
	s := DefaultSettings()
	return s, service.Load(s)
}

var valid = map[string]string{
	"DATABASE_URL": "postgres://auth:pw@127.0.0.1/db", "AUTH_KEYS": "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "PUBLIC_URL": "https://auth.example.test",
}

func TestSettingsHaveDefaults(t *testing.T) {
	for name, value := range valid {
		t.Setenv(name, value)
	}
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if s.ListenAddr != ":8081" || s.OpsListenAddr != ":9081" || s.AccessLifetime != 15*time.Minute || s.SessionLifetime != 30*24*time.Hour ||
		s.HashPermits != 0 || s.HashPlaces != 32 || s.Keys != valid["AUTH_KEYS"] || s.PostgresConfig.URL != valid["DATABASE_URL"] {
		t.Errorf("got %+v", s)
	}
}

func TestErrorsNameTheSettingAndNotItsValue(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"AUTH_KEYS", ""}, {"AUTH_KEYS", "canary"}, {"AUTH_KEYS", "a:canary"}, {"AUTH_KEYS_FILE", "/canary"},
		{"PUBLIC_URL", ""}, {"PUBLIC_URL", "canary.example.test"}, {"PUBLIC_URL", "ftp://canary"}, {"PUBLIC_URL", "https://canary:pw@example.test"},
		{"PUBLIC_URL", "https://example.test?canary=1"}, {"PUBLIC_URL", "https://[canary"},
		{"SIGN_IN_URL", "canary"}, {"SIGN_IN_URL", "https://example.test/#canary"}, {"EMAIL_LINK_URL", "javascript:canary"}, {"EMAIL_LINK_URL", "https://example.test?canary"},
		{"SMTP_URL", "canary"}, {"SMTP_URL", "smtp://ann:canary@:587"}, {"SMTP_URL", "smtp://ann:canary@mail?tls=1"}, {"MAIL_FROM", "canary"}, {"MAIL_FROM", "Canary <canary@exämple.test>"},
		{"ALLOWED_ORIGINS", "canary.example.test"}, {"ALLOWED_ORIGINS", "*"}, {"ALLOWED_ORIGINS", "https://canary.example.test/"},
		{"ALLOWED_ORIGINS", "https://example.test, https://canary.example.test"}, {"ALLOWED_ORIGINS", "https://Canary.example.test"},
		{"TRUSTED_PROXIES", "canary"}, {"TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.1"},
		{"PASSWORD_BUDGET_ATTEMPTS", "0"}, {"PASSWORD_BUDGET_ATTEMPTS", "101"}, {"PASSWORD_BUDGET_LOCK", "0"}, {"PASSWORD_BUDGET_LOCK_MAX", "1s"},
		{"MFA_BUDGET_ATTEMPTS", "0"}, {"MFA_BUDGET_ATTEMPTS", "11"}, {"MFA_BUDGET_LOCK", "1ms"}, {"MFA_BUDGET_LOCK", "canary"}, {"MFA_BUDGET_LOCK_MAX", "1m"},
		{"MFA_BUDGET_FAILURES", "0"}, {"MFA_BUDGET_FAILURES", "101"}, {"RATE_LOGIN", "0"}, {"RATE_SIGNUP", "-1"}, {"RATE_STATUS", "canary"},
		{"HASH_PERMITS", "canary"}, {"HASH_PERMITS", "-1"}, {"HASH_PERMITS", "1025"}, {"HASH_PLACES", "0"}, {"HASH_PLACES", "10001"}, {"HASH_PLACES", "canary"}, {"DATABASE_CONNECTIONS", "canary"},
		{"ACCESS_LIFETIME", "0"}, {"ACCESS_LIFETIME", "canary"}, {"SESSION_LIFETIME", "1s"}, {"SIGNING_KEY_LIFETIME", "59m"}, {"SIGNING_KEY_LIFETIME", "canary"},
		{"KYC_SUMSUB_SECRET", "canary,"}, {"KYC_PERSONA_SECRET", "canary, canary"}, {"KYC_ONFIDO_SECRET", "canary,canary,canary"}, {"KYC_VERIFF_SECRET", " canary"},
		{"KYC_BEARER_TOKEN", "canary"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			for name, value := range valid {
				if name+"_FILE" != c.name {
					t.Setenv(name, value)
				}
			}
			t.Setenv(c.name, c.value)
			_, err := load()
			if err == nil || !strings.Contains(err.Error(), c.name) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSMTPURLAndMailDirExcludeEachOther(t *testing.T) {
	for name, value := range valid {
		t.Setenv(name, value)
	}
	t.Setenv("SMTP_URL", "smtp://ann:canary@mail.example.test")
	t.Setenv("EMAIL_LINK_URL", "https://app.example.test/account")
	s, err := load()
	if err != nil || s.Mail.SMTP == "" || s.Mail.Folder != "" || s.Mail.From == "" || s.Mail.LinkURL != "https://app.example.test/account" {
		t.Errorf("%v", err)
	}
	t.Setenv("MAIL_DIR", "/mails")
	if _, err := load(); err == nil || !strings.Contains(err.Error(), "MAIL_DIR") || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}

func TestEveryWrongSettingIsNamed(t *testing.T) {
	for name, value := range map[string]string{"AUTH_KEYS": "", "PUBLIC_URL": "", "HASH_PERMITS": "-1", "HASH_PLACES": "-1", "ACCESS_LIFETIME": "0"} {
		t.Setenv(name, value)
	}
	_, err := load()
	for _, name := range []string{"AUTH_KEYS", "PUBLIC_URL", "HASH_PERMITS", "HASH_PLACES", "ACCESS_LIFETIME"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}
