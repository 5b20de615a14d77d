package approval_test

import (
	"errors"
	"testing"

	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/schema"
)

// Even with any SQL, the role of pin-internal cannot approve, and the role of pin-admin cannot use.
func TestRolesWriteTheirPartOfAnApproval(t *testing.T) {
	t.Parallel()
	w := newAsking(t)
	w.ask(w.request("pay", 1))
	for _, rule := range []struct{ role, statement, refused string }{
		{schema.RolePinInternal, `update approvals set status = 'approved', decided_at = now()`, "23514"}, // check_violation: no holder
		{schema.RolePinInternal, `update approvals set holder_id = customer_id, session_generation = gen_random_uuid()`, "42501"},
		{schema.RolePinInternal, `update approvals set expires_at = now() + interval '1 day'`, "42501"},
		{schema.RolePinInternal, `update approvals set tries = 0`, "42501"},
		{schema.RolePinInternal, `update approvals set arguments = '{}'`, "42501"},
		{schema.RolePinInternal, `insert into approvals (id, status) values (gen_random_uuid(), 'approved')`, "42501"},
		{schema.RolePinInternal, `delete from approvals`, "42501"},
		{schema.RolePinAdmin, `update approvals set status = 'used'`, "23514"},
		{schema.RolePinAdmin, `update approvals set use_hash = link_hash, used_at = now()`, "42501"},
		{schema.RolePinAdmin, `update approvals set arguments = '{}'`, "42501"},
		{schema.RolePinAdmin, `insert into approvals (id) values (gen_random_uuid())`, "42501"},
	} {
		_, err := w.database.Open(t, rule.role).Exec(rule.statement)
		var refusal *pq.Error
		if !errors.As(err, &refusal) || string(refusal.Code) != rule.refused {
			t.Errorf("%s: %s: %v, want %s (42501: insufficient_privilege)", rule.role, rule.statement, err, rule.refused)
		}
	}
}
