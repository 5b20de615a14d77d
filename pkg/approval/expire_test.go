package approval_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/schema"
)

// approve writes an approval by the customer's PIN.
func (w *asking) approve(id uuid.UUID) {
	w.t.Helper()
	w.people.Exec(`update approvals a set status = 'approved', decided_at = now(), expires_at = now() + interval '2 minutes',
		holder_id = h.holder_id, session_generation = h.session_generation from pin_holders h where a.id = $1 and h.holder_id = a.customer_id`, id)
}

func TestSweeperWritesWhatIsOver(t *testing.T) {
	t.Parallel()
	w := newAsking(t, func(c *approval.Config) { c.Pending, c.PerHour = 100, 1000 })
	for n, rule := range []struct {
		name, change string
		approved     bool
		want, trail  string
	}{
		{"pending", `select 1`, false, "pending", ""},
		{"approved", `select 1`, true, "approved", ""},
		{"nobody answered", `update approvals set expires_at = now() where id = $1`, false, "expired", "approval.expired {}"},
		{"nobody used it", `update approvals set expires_at = now() where id = $1`, true, "expired", "approval.expired {}"},
		{"one try is open", `update approvals set tries = 1, tried_at = now() - interval '1 hour' where id = $1`, false, "pending", ""},
		{"two tries may be settled", `update approvals set tries = 2, tried_at = now() where id = $1`, false, "pending", ""},
		{"two tries are lost", `update approvals set tries = 2, tried_at = now() - interval '16 seconds' where id = $1`, false, "denied wrong_pin decided", `approval.denied {"reason": "wrong_pin"}`},
		{"the PIN was changed", `update approvals set session_generation = gen_random_uuid() where id = $1`, true, "expired pin_changed", `approval.expired {"reason": "pin_changed"}`},
		{"the PIN was changed, and the time is over", `update approvals set session_generation = gen_random_uuid(), expires_at = now() where id = $1`, true,
			"expired pin_changed", `approval.expired {"reason": "pin_changed"}`},
	} {
		row := w.ask(w.request("pay", n))
		if rule.approved {
			w.approve(row.ID)
		}
		if rule.change != `select 1` {
			w.people.Exec(rule.change, row.ID)
		}
		computed, err := approval.Get(t.Context(), w.db, w.instance, row.ID)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time, nothing is over any more
			if _, err := w.sweeper.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var written, trail string
		w.people.Get(&written, `select status || coalesce(' ' || reason, '') || case when status = 'denied' and decided_at is not null then ' decided' else '' end from approvals where id = $1`, row.ID)
		w.people.Get(&trail, `select coalesce(string_agg(action || ' ' || (details - 'skill' - 'grants')::text, ' '), '') from audit
			where target_id = $1 and action <> 'approval.asked' and actor_kind = 'anonymous' and customer_id = $2 and identity_id = $3 and instance_id = $4`, row.ID, w.customer, w.identity, w.instance)
		if written != rule.want || trail != rule.trail {
			t.Errorf("%s: %q, trail %q, want %q, %q", rule.name, written, trail, rule.want, rule.trail)
		}
		after, err := approval.Get(t.Context(), w.db, w.instance, row.ID)
		if err != nil || after.Status != computed.Status || (after.Reason == nil) != (computed.Reason == nil) {
			t.Errorf("%s: the status was %s and is %s, %v", rule.name, computed.Status, after.Status, err)
		}
	}
}

// Three replicas sweep 1,200 approvals in batches. Each gets one row in the trail.
func TestSweepersOfSeveralReplicasWriteEachApprovalOnce(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	w.people.Exec(`insert into approvals (id, instance_id, customer_id, proxy_key_id, kind, skill, arguments, action_hash, nonce, key_id, link_hash, expires_at)
		select gen_random_uuid(), $1, $2, gen_random_uuid(), 'action', 'pay', '{}', sha256(n::text::bytea), sha256(''), 'old', sha256(n::text::bytea), now()
		  from generate_series(1, 1200) n`, w.instance, w.customer)
	var total atomic.Int64
	var running sync.WaitGroup
	for range 3 {
		sweeper := approval.Sweeper{DB: w.database.Open(t, schema.RolePinAdmin), Log: w.sweeper.Log}
		running.Go(func() {
			for total.Load() < 1200 {
				n, err := sweeper.Sweep(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				total.Add(int64(n))
			}
		})
	}
	running.Wait()
	var rows int
	w.people.Get(&rows, `select count(distinct target_id) from audit where action = 'approval.expired'`)
	if total.Load() != 1200 || rows != 1200 || w.count(`status = 'expired'`) != 1200 {
		t.Errorf("%d written, %d approvals in the trail", total.Load(), rows)
	}
}

func TestCancelledApprovalIsNotPending(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	row := w.ask(w.request("pay", 1))
	for range 2 {
		if err := approval.Cancel(t.Context(), w.db, w.instance, row.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := approval.Get(t.Context(), w.db, w.instance, row.ID); err != nil || got.Status != approval.Cancelled {
		t.Errorf("%s, %v", got.Status, err)
	}
	w.ask(w.request("pay", 1))
}
