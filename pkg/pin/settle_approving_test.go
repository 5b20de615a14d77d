package pin

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// approvalOfOne adds one person, who is asked for one approval. charge charges one try.
func approvalOfOne(t *testing.T) (people storetest.People, charge func() (*Verifier, attempt)) {
	t.Helper()
	d := storetest.Postgres(t)
	people = storetest.NewPeople(t, d)
	holder, instance, id, hash := people.Customer(), people.Instance(), uuid.New(), make([]byte, 32)
	rand.Read(hash)
	people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, 'x', gen_random_uuid(), now())`, holder)
	people.Exec(`insert into approvals (id, instance_id, customer_id, proxy_key_id, kind, skill, arguments, action_hash, nonce, key_id, link_hash, expires_at)
		values ($1, $2, $3, $1, 'action', 'pay.transfer', '{}', $4, $4, 'one', $4, now() + interval '10 minutes')`, id, instance, holder, hash)
	db := d.Open(t, schema.RolePinAdmin)
	v := &Verifier{db: db, charger: budget.NewCharger(db), budget: DefaultBudget, chargeTryQ: &stores.Prepared{Query: chargeTrySQL}}
	return people, func() (*Verifier, attempt) {
		t.Helper()
		a, err := v.charge(t.Context(), Resolved{HolderID: uuid.NullUUID{UUID: holder, Valid: true},
			approving: &Approving{ID: id, Subject: Subject{InstanceID: instance, CustomerID: uuid.NullUUID{UUID: holder, Valid: true}}, UseWithin: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		return v, a
	}
}

// TestRightPINThatDoesNotApprove: something happens between the charge and the settling of a right PIN. The PIN may count as
// right, but it approves nothing.
func TestRightPINThatDoesNotApprove(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		meanwhile string
		lost      bool
		// state is the state that the person is told, and status is the status in the row.
		state, status string
	}{
		"nothing":                             {`select`, false, "approved", "approved"},
		"a later attempt locked the PIN":      {`update pin_holders set charged = 6, window_start = 6, locks = 1, locked_by = 6, locked_until = now() + interval '1 hour'`, false, "pending", "pending"},
		"a later attempt deactivated the PIN": {`update pin_holders set charged = 50, deactivated_by = 50`, false, "pending", "pending"},
		"the person denied":                   {`update approvals set status = 'denied', reason = 'person', decided_at = now()`, false, "denied", "denied"},
		"the agent cancelled":                 {`update approvals set status = 'cancelled'`, false, "cancelled", "cancelled"},
		"the time is over":                    {`update approvals set expires_at = now()`, false, "expired", "pending"},
		"the approval was deleted":            {`delete from approvals`, false, "expired", ""},
		"the PIN was set again":               {`update pin_holders set generation = gen_random_uuid()`, true, "", "pending"},
		"the PIN was removed":                 {`update pin_holders set verifier = null, generation = null, pin_set_at = null`, true, "", "pending"},
		"the charge is 11 s old":              {`update attempts set charged_at = now() - interval '11 seconds'`, true, "", "pending"},
		"the attempt was settled":             {`update attempts set outcome = 'wrong'`, true, "", "pending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			people, charge := approvalOfOne(t)
			v, a := charge()
			people.Exec(rule.meanwhile)
			people.Get(&a.ChargedAt, `select charged_at from attempts`)
			after, err := v.settleRight(t.Context(), a)
			if errors.Is(err, errLost) != rule.lost || err != nil && !rule.lost {
				t.Fatalf("settling: %v", err)
			}
			if !rule.lost && (after.tried.Status != rule.state || after.tried.Approved != (rule.state == "approved")) {
				t.Errorf("%+v", after.tried)
			}
			var status string
			people.Get(&status, `select coalesce((select status from approvals), '')`)
			if status != rule.status {
				t.Errorf("the status is %s, want %s", status, rule.status)
			}
			want := "right"
			if rule.lost {
				want = "lost"
			}
			var outcome string
			people.Get(&outcome, `select outcome from attempts`)
			if outcome != want && name != "the attempt was settled" {
				t.Errorf("the outcome of the attempt is %s, want %s", outcome, want)
			}
			var approved int
			people.Get(&approved, `select count(*) from audit where action = 'approval.approved'`)
			if (approved == 1) != (status == "approved") {
				t.Errorf("%d rows of the audit trail, status %s", approved, status)
			}
		})
	}
}

// TestWrongPINsAfterADecision: two wrong PINs were charged before the person or the agent decided, and are settled after that. The
// decision and its reason stay. Otherwise, a runtime could remove the memory of a denial.
func TestWrongPINsAfterADecision(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct{ decision, want string }{
		"nothing":             {`select`, "denied wrong_pin"},
		"the person denied":   {`update approvals set status = 'denied', reason = 'person', decided_at = now()`, "denied person"},
		"the agent cancelled": {`update approvals set status = 'cancelled'`, "cancelled -"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			people, charge := approvalOfOne(t)
			v, first := charge()
			_, second := charge()
			people.Exec(rule.decision)
			for _, a := range []attempt{first, second} {
				if _, err := v.settleWrong(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			}
			var got string
			people.Get(&got, `select status || ' ' || coalesce(reason, '-') from approvals`)
			if got != rule.want {
				t.Errorf("the approval is %s, want %s", got, rule.want)
			}
		})
	}
}
