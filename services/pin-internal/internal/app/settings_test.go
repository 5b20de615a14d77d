package app

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/service"
)

func TestSettings(t *testing.T) {
	const ring = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	valid := map[string]string{"PIN_KEYS": ring, "DATABASE_URL": "postgres://localhost/x", "REDIS_URL": "redis://localhost"}
	for _, rule := range []struct{ name, variable, value, complaint string }{
		{"a valid environment", "", "", ""},
		{"a lock of a minute", "PIN_BUDGET_LOCK", "1m", ""},
		{"no keys", "PIN_KEYS", "", "PIN_KEYS is not set"},
		{"keys without an id", "PIN_KEYS", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "PIN_KEYS: entry 1"},
		{"a short key", "PIN_KEYS", "one:c2VjcmV0", "PIN_KEYS: entry 1"},
		{"a key id twice", "PIN_KEYS", ring + "," + ring, "PIN_KEYS: entry 2"},
		{"a lock that is not a duration", "PIN_BUDGET_LOCK", "canary", "PIN_BUDGET_LOCK is not a valid time.Duration"},
		{"a lock of 0s", "PIN_BUDGET_LOCK", "0s", "PIN_BUDGET_LOCK must be"},
		{"a longest lock shorter than the first lock", "PIN_BUDGET_LOCK_MAX", "1m", "PIN_BUDGET_LOCK_MAX must"},
		{"0 attempts", "PIN_BUDGET_ATTEMPTS", "0", "PIN_BUDGET_ATTEMPTS must"},
		{"attempts that are not a number", "PIN_BUDGET_ATTEMPTS", "canary", "PIN_BUDGET_ATTEMPTS is not a valid int"},
		{"more failures than NIST allows", "PIN_BUDGET_FAILURES", "101", "PIN_BUDGET_FAILURES must"},
		{"connections that are not a number", "DATABASE_CONNECTIONS", "canary", "DATABASE_CONNECTIONS is not a valid int"},
		{"a negative number of permits", "HASH_PERMITS", "-1", "HASH_PERMITS must"},
		{"too many permits", "HASH_PERMITS", "1025", "HASH_PERMITS must"},
		{"0 places", "HASH_PLACES", "0", "HASH_PLACES must"},
		{"too many places", "HASH_PLACES", "10001", "HASH_PLACES must"},
		{"a value and a file", "REDIS_URL_FILE", "/canary", "REDIS_URL and REDIS_URL_FILE are both set"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for name, value := range valid {
				t.Setenv(name, value)
			}
			if rule.variable != "" {
				t.Setenv(rule.variable, rule.value)
			}
			s := DefaultSettings()
			err := service.Load(s)
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
