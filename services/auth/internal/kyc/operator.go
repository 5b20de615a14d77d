package kyc

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
)

// ErrNotRejected means that there is no rejection to resolve.
var ErrNotRejected = fault.New(fault.Conflict, "kyc_not_rejected", "The vendor does not reject this user")

// ResolveRejection makes a vendor's events about a user count no more, if the vendor rejected the user and has not approved or
// reset the user since. Then the events of other vendors decide. A later event of the vendor counts again. It returns
// ErrNotRejected.
func ResolveRejection(ctx context.Context, db *sqlx.DB, user uuid.UUID, vendor string) error {
	return audit.Change(ctx, db, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `
			with events as (
				select status, occurred_at from kyc_events where user_id = $1 and provider = $2
			)
			insert into kyc_events (provider, event_id, user_id, type, status, occurred_at)
			select $2, 'operator:' || gen_random_uuid(), $1, 'operator.resolved', 'not_started', greatest(now(), max(occurred_at) + interval '1 microsecond')
			  from events
			having bool_or(status = 'rejected' and occurred_at = (
			       select max(occurred_at) from events where status in ('approved', 'rejected', 'not_started')))`
		result, err := tx.ExecContext(ctx, q, user, vendor)
		if err != nil {
			return audit.Event{}, fmt.Errorf("resolving a rejection: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return audit.Event{}, cmp.Or(err, error(ErrNotRejected))
		}
		return audit.Event{Action: "kyc.resolved", TargetID: audit.ID(user), Details: map[string]any{"provider": vendor}}, nil
	})
}
