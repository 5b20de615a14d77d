package api_test

import (
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// TestApprovalWithoutRedis: Redis is flushed or down at each step. Postgres decides, and the answers are the same.
func TestApprovalWithoutRedis(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	a := askedOn(newServiceOn(t, server.URL))
	hash := a.viewHash()
	if err := a.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	a.wantDecision(a.Do(a.request("", hash, "approve", wrongPIN)), "pending", "", "invalid_pin", 4, 1)
	server.Stop()
	a.Want(a.open(""), 200)
	a.wantDecision(a.Do(a.request("", hash, "approve", wrongPIN)), "denied", "wrong_pin", "invalid_pin", 3, 0)
	a.again()
	a.wantDecision(a.decide(goodPIN), "approved", "", "", 5, 1)
	a.again()
	a.wantDecision(a.decide(""), "denied", "person", "", -1, 2)
	a.again()
	a.people.Exec(`update pin_holders set locked_until = now() + interval '90 seconds'`)
	a.wantDecision(a.decide(goodPIN), "pending", "", "pin_locked", 0, 2)
	a.wantCharged(3)
}

// TestApprovalWhilePostgresRestarts: each connection ends. A request fails with 503 or works, and nothing is charged twice.
func TestApprovalWhilePostgresRestarts(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	restart := func() {
		a.people.Exec(`do $$ begin perform pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid(); end $$`)
	}
	hash := a.viewHash()
	restart()
	opened := a.open("")
	for end := time.Now().Add(30 * time.Second); opened.Status == 503 && time.Now().Before(end); {
		opened = a.open("")
	}
	a.Want(opened, 200)
	restart()
	decided := a.Do(a.request("", hash, "approve", goodPIN))
	for end := time.Now().Add(30 * time.Second); decided.Status == 503 && time.Now().Before(end); {
		decided = a.Do(a.request("", hash, "approve", goodPIN))
	}
	a.wantDecision(decided, "approved", "", "", 5, 1)
	a.wantCharged(1)
}

// TestDecisionWhoseConnectionIsLost: Postgres ends the connection at a step of the decision. The answer says whether something may
// have been charged, and the next decision goes on from what was written.
func TestDecisionWhoseConnectionIsLost(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		step, code string
		charged    int
		next       string
	}{
		"at the charge":    {`new.tries > old.tries`, "outcome_unknown", 0, "approved"},
		"at the approval":  {`new.status = 'approved'`, "outcome_unknown", 1, "approved"},
		"at the wrong PIN": {`new.wrong > old.wrong`, "outcome_unknown", 1, "approved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAsked(t)
			hash := a.viewHash()
			a.people.Exec(`create function lose() returns trigger language plpgsql security definer as $$ begin
				if ` + rule.step + ` then perform pg_terminate_backend(pg_backend_pid()); end if; return new; end $$`)
			a.people.Exec(`create trigger lose before update on approvals for each row execute function lose()`)
			pin := goodPIN
			if name == "at the wrong PIN" {
				pin = wrongPIN
			}
			a.refused(a.Do(a.request("", hash, "approve", pin)), 503, rule.code)
			a.wantCharged(rule.charged)
			if a.status() != "pending" {
				t.Error(a.status())
			}
			a.people.Exec(`drop trigger lose on approvals`)
			got := a.Do(a.request("", hash, "approve", goodPIN))
			for end := time.Now().Add(30 * time.Second); got.Status == 503 && time.Now().Before(end); {
				got = a.Do(a.request("", hash, "approve", goodPIN))
			}
			a.wantDecision(got, rule.next, "", "", 5, 1-rule.charged)
			a.wantCharged(rule.charged + 1)
		})
	}
}

// TestOverloadAtLink: under overload, nothing is charged and no try is taken. Opening and denying need no hash.
func TestOverloadAtLink(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	hash := a.viewHash()
	for !a.pool.Full(a.instance) {
		place, err := a.pool.Reserve(a.instance)
		must(t, err)
		t.Cleanup(place.Release)
	}
	got := a.Do(a.request("", hash, "approve", goodPIN))
	if got.Status != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.wantCharged(0)
	a.wantDecision(a.decide(""), "denied", "person", "", -1, 2)
}
