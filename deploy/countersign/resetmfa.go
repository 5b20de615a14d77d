package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
)

// resetMFA takes away the second factor of a user who has lost the app and the recovery codes, or has used up all guesses.
// From then on the password is enough: whoever asks for this has to be known to be that user.
func resetMFA(ctx context.Context, db *sql.DB, email string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("resetting the second factor: %w", err)
	}
	defer tx.Rollback()
	var id uuid.UUID
	err = tx.QueryRowContext(ctx, `select id from users where lower(email) = lower($1) for no key update`, email).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return errors.New("admin: nobody has this address")
	}
	if err != nil {
		return fmt.Errorf("looking for the user: %w", err)
	}
	result, err := tx.ExecContext(ctx, `delete from second_factors where user_id = $1`, id)
	if err != nil {
		return fmt.Errorf("removing the second factor: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errors.New("admin: there is no second factor"))
	}
	if err := (budget.Guesses{Kind: budget.SecondFactor}).Renew(ctx, tx, id.String()); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, audit.Event{Action: "second_factor.removed", TargetID: audit.ID(id)}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("resetting the second factor: %w", err)
	}
	fmt.Println(email, "signs in with the password alone")
	return nil
}
