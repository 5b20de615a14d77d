package pin_test

import (
	"context"
	"testing"

	"github.com/countersign/countersign/pkg/pin"
)

// A right attempt may be settled after later attempts were charged. Then it does not forgive them and does not end their lock.
// During their lock it creates no session, because that session would become valid when the lock ends.
func TestRightAttemptForgivesNoLaterAttempt(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name  string
		later int
		lock  bool
		left  int
	}{
		{"two later attempts", 2, false, 2},
		{"later attempts that lock the PIN", 4, true, 4},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
			// Settling waits for this advisory lock. Charging does not.
			w.people.Exec(`create function gate() returns trigger language plpgsql as $$ begin
				if current_query() like '%settled as%' then perform pg_advisory_xact_lock(5); end if; return null; end $$`)
			w.people.Exec(`create trigger gate before update on pin_holders for each statement execute function gate()`)
			gate, err := w.db.Beginx()
			if err != nil {
				t.Fatal(err)
			}
			defer gate.Rollback()
			gate.MustExec(`select pg_advisory_xact_lock(5)`)
			first := make(chan pin.Result)
			go func() {
				result, _ := w.verifier.Verify(context.Background(), w.key, w.subject(), rightPIN)
				first <- result
			}()
			for waiting := 0; waiting == 0; {
				w.people.Get(&waiting, `select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`)
			}
			for range rule.later {
				w.verify(wrongPIN)
			}
			gate.Rollback()
			got := <-first
			if got.Outcome != pin.Right || (got.Session == nil) != rule.lock {
				t.Errorf("the first attempt: %s, with a session: %v", got.Outcome, got.Session != nil)
			}
			if rule.lock {
				if got := w.verify(rightPIN); got.Outcome != pin.Locked {
					t.Errorf("a right PIN during the lock of a later attempt: %s", got.Outcome)
				}
				w.endLock(w.customerHolder())
			}
			if got := w.verify(wrongPIN); *got.Remaining != rule.left {
				t.Errorf("%d left, want %d", *got.Remaining, rule.left)
			}
		})
	}
}
