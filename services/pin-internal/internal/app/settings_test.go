package app

import (
	"maps"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/testkit/settingstest"
)

const ring = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

var valid = map[string]string{"PIN_KEYS": ring, "DATABASE_URL": "postgres://localhost/x", "REDIS_URL": "redis://localhost", "APPROVAL_URL": "https://approve.example.test"}

func TestSettingsAreDocumented(t *testing.T) {
	settingstest.Documented(t, DefaultSettings(), "pin-internal")
}

func TestSettingsHaveDefaults(t *testing.T) {
	s := DefaultSettings()
	if err := settingstest.Load(t, s, valid); err != nil {
		t.Fatal(err)
	}
	if s.Sessions != session.DefaultConfig || s.Waits != 1000 ||
		s.Approvals != (approval.Config{Pending: 3, PerHour: 30, DeniedFor: 15 * time.Minute, SkillDenials: 2, SkillDeniedFor: time.Hour}) {
		t.Errorf("got %+v, %+v, %d", s.Sessions, s.Approvals, s.Waits)
	}
	if s.ListenAddr != ":8083" || s.OpsListenAddr != ":9083" || s.Budget != (budget.Limits{Attempts: 5, Lock: 15 * time.Minute, LockMax: 24 * time.Hour, Failures: 50}) {
		t.Errorf("got %s, %s, %+v", s.ListenAddr, s.OpsListenAddr, s.Budget)
	}
}

func TestBudgetCanBeSet(t *testing.T) {
	s := DefaultSettings()
	environment := maps.Clone(valid)
	environment["PIN_BUDGET_ATTEMPTS"], environment["PIN_BUDGET_LOCK"], environment["PIN_BUDGET_LOCK_MAX"], environment["PIN_BUDGET_FAILURES"] = "3", "1m", "1h", "9"
	if err := settingstest.Load(t, s, environment); err != nil {
		t.Fatal(err)
	}
	if s.Budget != (budget.Limits{Attempts: 3, Lock: time.Minute, LockMax: time.Hour, Failures: 9}) {
		t.Errorf("got %+v", s.Budget)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	settingstest.Refused(t, DefaultSettings, valid, [][]string{
		{"PIN_KEYS=", "PIN_KEYS is not set"},
		{"PIN_KEYS=canary", "PIN_KEYS: entry 1"},               // without an id
		{"PIN_KEYS=one:c2VjcmV0", "PIN_KEYS: entry 1"},         // too short
		{"PIN_KEYS=" + ring + "," + ring, "PIN_KEYS: entry 2"}, // one id, two keys
		{"PIN_BUDGET_LOCK=canary", "PIN_BUDGET_LOCK is not a valid time.Duration"},
		{"PIN_BUDGET_LOCK=0s", "PIN_BUDGET_LOCK must be"},
		{"PIN_BUDGET_LOCK_MAX=1m", "PIN_BUDGET_LOCK_MAX must"}, // shorter than the first lock
		{"PIN_BUDGET_ATTEMPTS=0", "PIN_BUDGET_ATTEMPTS must"},
		{"PIN_BUDGET_ATTEMPTS=11", "PIN_BUDGET_ATTEMPTS must"},
		{"PIN_BUDGET_ATTEMPTS=canary", "PIN_BUDGET_ATTEMPTS is not a valid int"},
		{"PIN_BUDGET_FAILURES=4", "PIN_BUDGET_FAILURES must"},   // fewer than the attempts
		{"PIN_BUDGET_FAILURES=101", "PIN_BUDGET_FAILURES must"}, // more than NIST SP 800-63B allows
		{"PIN_SESSIONS_PER_HOLDER=0", "PIN_SESSIONS_PER_HOLDER must"},
		{"PIN_SESSIONS_PER_HOLDER=1001", "PIN_SESSIONS_PER_HOLDER must"},
		{"APPROVAL_URL=", "APPROVAL_URL is not"},
		{"APPROVAL_URL=http://canary.example.test", "APPROVAL_URL must"},
		{"RECEIPT_ISSUER=canary", "RECEIPT_ISSUER is not"},
		{"RECEIPT_ISSUER=http://canary.example.test", "RECEIPT_ISSUER must"},
		{"APPROVAL_WAITS=0", "APPROVAL_WAITS is not positive"},
		{"APPROVAL_PENDING=0", "APPROVAL_PENDING must"}, {"APPROVAL_PENDING=101", "APPROVAL_PENDING must"},
		{"APPROVAL_PER_HOUR=0", "APPROVAL_PER_HOUR must"}, {"APPROVAL_PER_HOUR=1001", "APPROVAL_PER_HOUR must"},
		{"APPROVAL_DENIED_FOR=-1s", "APPROVAL_DENIED_FOR must"}, {"APPROVAL_DENIED_FOR=7h", "APPROVAL_DENIED_FOR must"},
		{"APPROVAL_SKILL_DENIALS=0", "APPROVAL_SKILL_DENIALS must"},
		{"APPROVAL_SKILL_DENIED_FOR=7h", "APPROVAL_SKILL_DENIED_FOR must"},
		{"DATABASE_URL=", "DATABASE_URL is not set"},
		{"DATABASE_CONNECTIONS=canary", "DATABASE_CONNECTIONS is not a valid int"},
		{"HASH_PERMITS=-1", "HASH_PERMITS must"},
		{"HASH_PERMITS=1025", "HASH_PERMITS must"},
		{"HASH_PLACES=0", "HASH_PLACES must"},
		{"HASH_PLACES=10001", "HASH_PLACES must"},
	})
}

func TestAValueAndAFileAreRefused(t *testing.T) {
	environment := maps.Clone(valid)
	environment["REDIS_URL_FILE"] = "/canary"
	err := settingstest.Load(t, DefaultSettings(), environment)
	if err == nil || err.Error() != "REDIS_URL and REDIS_URL_FILE are both set" {
		t.Errorf("got %v", err)
	}
}
