package mfa

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/seal"
)

// Reset removes a user's second factor and its recovery codes without a code, and renews the guess budgets of the codes. The
// operator's command calls it for a user who lost the app and the recovery codes, or who has no attempts left. It returns
// ErrNoFactor.
func Reset(ctx context.Context, db *sqlx.DB, user uuid.UUID) error {
	return audit.Change(ctx, db, func(tx *sqlx.Tx) (audit.Event, error) {
		// check also locks the user's row first. With another order the two could deadlock.
		if _, err := tx.ExecContext(ctx, `select from users where id = $1 for no key update`, user); err != nil {
			return audit.Event{}, fmt.Errorf("locking a user: %w", err)
		}
		if err := remove(ctx, tx, user); err != nil {
			return audit.Event{}, err
		}
		for _, kind := range []budget.Kind{budget.SecondFactor, budget.SecondFactorSignedIn} {
			if err := (budget.Guesses{Kind: kind}).Renew(ctx, tx, user.String()); err != nil {
				return audit.Event{}, err
			}
		}
		return audit.Event{Action: "second_factor.removed", TargetID: audit.ID(user)}, nil
	})
}

// Sealed is the column of TOTP secrets.
var Sealed = seal.Column{Values: "second factors", Table: "second_factors", Column: "secret_sealed", ID: "user_id", Purpose: keyring.SecondFactors}
