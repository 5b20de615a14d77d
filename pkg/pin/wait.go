package pin

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/wakeup"
)

// AwaitSet is the source of a board whose requests wait until a customer has a PIN. The ids are those of customers.
func AwaitSet(db *sqlx.DB) wakeup.Source {
	return wakeup.Source{
		Channel: "pin:set",
		Ended: func(ctx context.Context, customer uuid.UUID) (set bool, err error) {
			const q = `select exists (select from pin_holders where holder_id = $1 and verifier is not null)`
			if err := db.GetContext(ctx, &set, q, customer); err != nil {
				return false, fmt.Errorf("reading whether a PIN is set: %w", err)
			}
			return set, nil
		},
		// It covers more time than the time between two calls, because a PIN becomes visible only when the transaction that set it
		// commits.
		EndedAmong: func(ctx context.Context, _ []uuid.UUID) (recent []uuid.UUID, err error) {
			const q = `select holder_id from pin_holders where pin_set_at > now() - interval '20 seconds' and identity_id is null`
			if err := db.SelectContext(ctx, &recent, q); err != nil {
				return nil, fmt.Errorf("reading the PINs that were set recently: %w", err)
			}
			return recent, nil
		},
	}
}
