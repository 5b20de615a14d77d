package main

import (
	"strings"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	const ring = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	good := map[string]string{"PIN_KEYS": ring, "DATABASE_URL": "postgres://localhost/x", "REDIS_URL": "redis://localhost"}
	for _, rule := range []struct{ name, variable, value, complaint string }{
		{"all there", "", "", ""},
		{"another budget", "PIN_BUDGET_LOCK", "1m", ""},
		{"no keys", "PIN_KEYS", "", "PIN_KEYS is not set"},
		{"keys without an id", "PIN_KEYS", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "PIN_KEYS: entry 1"},
		{"a short key", "PIN_KEYS", "one:c2VjcmV0", "PIN_KEYS: entry 1"},
		{"a key twice", "PIN_KEYS", ring + "," + ring, "PIN_KEYS: entry 2"},
		{"a lock that is no duration", "PIN_BUDGET_LOCK", "canary", "PIN_BUDGET_LOCK is not a valid time.Duration"},
		{"a lock of nothing", "PIN_BUDGET_LOCK", "0s", "PIN_BUDGET_LOCK must be"},
		{"a greatest lock below the first", "PIN_BUDGET_LOCK_MAX", "1m", "PIN_BUDGET_LOCK_MAX must"},
		{"no attempts", "PIN_BUDGET_ATTEMPTS", "0", "PIN_BUDGET_ATTEMPTS must"},
		{"attempts that are no number", "PIN_BUDGET_ATTEMPTS", "canary", "PIN_BUDGET_ATTEMPTS is not a valid int"},
		{"more failures than NIST allows", "PIN_BUDGET_FAILURES", "101", "PIN_BUDGET_FAILURES must"},
		{"connections that are no number", "DATABASE_CONNECTIONS", "canary", "DATABASE_CONNECTIONS is not a valid int"},
		{"permits below none", "HASH_PERMITS", "-1", "HASH_PERMITS must"},
		{"no places", "HASH_PLACES", "0", "HASH_PLACES must"},
		{"a file that is not there", "REDIS_URL_FILE", "/canary", "REDIS_URL and REDIS_URL_FILE are both set"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for name, value := range good {
				t.Setenv(name, value)
			}
			if rule.variable != "" {
				t.Setenv(rule.variable, rule.value)
			}
			s, err := loadSettings()
			if rule.complaint == "" {
				if err != nil {
					t.Fatal(err)
				}
				if rule.variable == "PIN_BUDGET_LOCK" && s.Lock != time.Minute {
					t.Errorf("locks for %v", s.Lock)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), rule.complaint) {
				t.Errorf("%v, want %s", err, rule.complaint)
			}
			if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "AAEC")) {
				t.Errorf("the value is printed: %v", err)
			}
		})
	}
}
