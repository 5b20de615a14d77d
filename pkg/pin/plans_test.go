package pin_test

import (
	"testing"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/session"
)

// Postgres plans a prepared statement again for each execution if that seems to save more than it costs. For the statement of
// Resolve, planning takes four times as long as running. So the statement must not look cheaper with known values: no part of it
// may vanish because an argument is null.
func TestResolveIsNotPlannedEachTime(t *testing.T) {
	t.Parallel()
	transfer := "payments.transfer"
	for _, presented := range []*session.Session{nil, {Hash: make([]byte, 32)}} {
		for i, withIdentity := range []bool{true, true, false, false} {
			w := newWorld(t)
			var name *string
			if i%2 == 0 {
				name = &transfer
			}
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
			w.db.SetMaxOpenConns(1) // pg_prepared_statements shows the statements of one connection
			subject := w.subject()
			if !withIdentity {
				subject = pin.Subject{InstanceID: w.instance, CustomerID: some(w.customer)}
			}
			for range 20 {
				if _, err := w.verifier.Resolve(t.Context(), w.key, subject, presented, name); err != nil {
					t.Fatal(err)
				}
			}
			var planned int
			const q = `select custom_plans from pg_prepared_statements where statement like '%proxy_keys%'`
			if err := w.db.Get(&planned, q); err != nil || planned > 5 {
				t.Errorf("identity %t, session %t, skill %t: planned %d times for 20 requests, %v, want 5", withIdentity, presented != nil, name != nil, planned, err)
			}
		}
	}
}
