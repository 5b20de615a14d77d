package approval

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/stores"
)

// Cancel cancels a pending or approved approval of an instance. It does nothing if the approval is cancelled already. Errors:
// ErrNotFound, and Refused for a used, denied or expired approval.
func Cancel(ctx context.Context, db *sqlx.DB, instance, id uuid.UUID) error {
	return stores.InTransaction(ctx, db, func(tx *sqlx.Tx) error {
		row, err := lockRow(ctx, tx, instance, id)
		switch {
		case err != nil:
			return err
		case row.Status == Cancelled:
			return nil
		case row.Status != Pending && row.Status != Approved:
			return Refused(row.Status)
		}
		const q = `update approvals set status = 'cancelled' where id = $1`
		if _, err := tx.ExecContext(ctx, q, id); err != nil {
			return fmt.Errorf("cancelling an approval: %w", err)
		}
		return audit.Record(ctx, tx, row.event("approval.cancelled"))
	})
}

// lockRow locks an approval of an instance and then reads it, or returns ErrNotFound. The second statement has a snapshot from
// after the wait for the lock, so it sees what other transactions have written, also about the PIN.
func lockRow(ctx context.Context, tx *sqlx.Tx, instance, id uuid.UUID) (Row, error) {
	const q = `select a.id from approvals a where a.id = $1 and a.instance_id = $2 for no key update`
	if err := tx.GetContext(ctx, &id, q, id, instance); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Row{}, fmt.Errorf("locking an approval: %w", err)
	}
	return Get(ctx, tx, instance, id)
}

// event returns an event about the approval. The trail never contains the arguments.
func (r Row) event(name string) audit.Event {
	return audit.Event{
		Action: name, CustomerID: audit.ID(r.CustomerID), IdentityID: r.IdentityID, InstanceID: audit.ID(r.InstanceID), TargetID: audit.ID(r.ID),
		Details: map[string]any{"skill": r.Skill, "grants": r.Kind},
	}
}
