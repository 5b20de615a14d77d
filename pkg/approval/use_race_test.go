package approval_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// A use waits for a row that another transaction has locked. It must then see what that transaction, or any other, has committed.
func TestUseThatWaitedSeesEachChange(t *testing.T) {
	t.Parallel()
	const (
		lockApproval = `select from approvals for no key update`
		lockPIN      = `select from pin_holders where identity_id is null for no key update`
	)
	for _, rule := range []struct {
		name       string
		byIdentity bool
		// lock is what the use waits for. change is committed by another transaction before the lock is released, or by the same
		// transaction if it is the holder's.
		lock, change string
		same         bool
		want         error
	}{
		{"nothing changes", false, lockApproval, `select 1`, false, nil},
		{"the PIN is changed", false, lockApproval, `update pin_holders set session_generation = gen_random_uuid()`, false, approval.ErrChanged},
		{"the PIN is being changed", false, lockPIN, `update pin_holders set session_generation = gen_random_uuid()`, true, approval.ErrChanged},
		{"the PIN is being locked", false, lockPIN, `update pin_holders set session_generation = gen_random_uuid(), locked_until = now() + interval '1 minute'`, true, approval.ErrChanged},
		{"the PIN is being removed", false, lockPIN, `update pin_holders set verifier = null, generation = null, pin_set_at = null`, true, approval.ErrChanged},
		{"the identity gets its first PIN", true, lockApproval, firstPIN, false, approval.ErrChanged},
		{"the identity is getting its first PIN", true, lockPIN, firstPIN, true, approval.ErrChanged},
		{"the approval is cancelled", false, lockApproval, `update approvals set status = 'cancelled'`, true, approval.Refused(approval.Cancelled)},
		{"the time ends", false, lockApproval, `update approvals set expires_at = clock_timestamp()`, true, approval.Refused(approval.Expired)},
		{"another use_id uses it", false, lockApproval, `update approvals set status = 'used', use_hash = sha256('x'), used_at = now()`, true, approval.Refused(approval.Used)},
		{"the person approves", false, `update approvals set status = 'pending'`, `update approvals set status = 'approved', decided_at = clock_timestamp()`, true, nil},
	} {
		t.Run(rule.name, func(t *testing.T) {
			w := newWorld(t)
			var identity *uuid.UUID
			if rule.byIdentity {
				identity = &w.identity
			}
			id := w.approved(approval.Action, identity)
			holder := w.people.Begin()
			exec(t, holder, rule.lock)
			type result struct {
				grant approval.Grant
				err   error
			}
			done := make(chan result, 1)
			go func() {
				grant, err := w.use(id, useID())
				done <- result{grant, err}
			}()
			for waiting := 0; waiting == 0; {
				select {
				case got := <-done:
					t.Fatalf("it did not wait: %+v, %v", got.grant, got.err)
				default:
				}
				w.people.Get(&waiting, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
			}
			changing := holder
			if !rule.same {
				changing = w.people.Begin()
			}
			exec(t, changing, rule.change)
			for _, tx := range []*sqlx.Tx{changing, holder} {
				if err := tx.Commit(); err != nil && !(rule.same && tx == holder) {
					t.Fatal(err)
				}
			}
			got := <-done
			if !errors.Is(got.err, rule.want) {
				t.Fatalf("%+v, %v, want %v", got.grant, got.err, rule.want)
			}
			if got.err == nil {
				var decided time.Time
				w.people.Get(&decided, `select decided_at from approvals`)
				if got.grant.UsedAt.Before(decided) {
					t.Errorf("used at %s, before the approval at %s", got.grant.UsedAt, decided)
				}
			}
		})
	}
}

const firstPIN = `insert into pin_holders (holder_id, customer_id, identity_id, verifier, generation, pin_set_at)
	select id, customer_id, id, 'x', gen_random_uuid(), now() from identities`

func exec(t *testing.T, tx *sqlx.Tx, statement string) {
	t.Helper()
	if _, err := tx.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Planning the burn costs more than running it. So Postgres must plan it once for each connection.
func TestBurnIsNotPlannedEachTime(t *testing.T) {
	t.Parallel()
	for _, arguments := range []string{"", arguments} {
		w := newWorldOn(t, storetest.Redis(t))
		w.db.SetMaxOpenConns(1) // pg_prepared_statements shows the statements of one connection
		for range 20 {
			if _, err := w.useWith(w.approved(approval.Action, nil), useID(), arguments); err != nil {
				t.Fatal(err)
			}
		}
		var planned int
		const q = `select custom_plans from pg_prepared_statements where statement like '%burnt%'`
		if err := w.db.Get(&planned, q); err != nil || planned > 5 {
			t.Errorf("arguments %q: planned %d times for 20 uses, %v, want 5", arguments, planned, err)
		}
	}
}
