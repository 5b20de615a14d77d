package pin

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// A right attempt is settled only for a short time after its charge, and only once. Its row may be in the partition of the month
// before, or in the default partition.
func TestOldOrSettledChargeIsNotSettledAsRight(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		age     time.Duration
		settled bool
		want    string
	}{
		"young":                {age: 9 * time.Second, want: "right"},
		"too old":              {age: 11 * time.Second, want: "lost"},
		"two months old":       {age: 60 * 24 * time.Hour, want: "lost"},
		"young, settled twice": {age: time.Second, settled: true, want: "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := storetest.Postgres(t)
			people := storetest.NewPeople(t, d)
			holder := people.Customer()
			people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, 'x', gen_random_uuid(), now())`, holder)
			db := d.Open(t, schema.RolePinInternal)
			v := &Verifier{db: db, charger: budget.NewCharger(db), budget: DefaultBudget,
				chargeQ: &stores.Prepared{Query: chargeSQL}, settleRightQ: &stores.Prepared{Query: settleRightSQL}}
			a, err := v.charge(t.Context(), Resolved{HolderID: uuid.NullUUID{UUID: holder, Valid: true}})
			if err != nil {
				t.Fatal(err)
			}
			people.Get(&a.ChargedAt, `update attempts set charged_at = now() - $1 * interval '1 second' returning charged_at`, rule.age.Seconds())
			if rule.settled {
				if _, err := v.db.Exec(settleWrongSQL, a.HolderID, a.Number, a.ChargedAt); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := v.settleRight(t.Context(), a); errors.Is(err, errLost) != (rule.want != "right") || (err != nil && !errors.Is(err, errLost)) {
				t.Errorf("settling: %v", err)
			}
			var outcome string
			people.Get(&outcome, `select outcome from attempts`)
			if outcome != rule.want {
				t.Errorf("the recorded outcome is %s, want %s", outcome, rule.want)
			}
		})
	}
}
