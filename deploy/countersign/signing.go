package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
)

// What an operator does to the keys that sign access tokens. auth looks once a minute whether it has to make one, and has
// published a new key for 10 minutes before that signs.
const (
	// rotateSigningKeys lets the keys sign until their successor may. What they have signed stays good until it expires.
	rotateSigningKeys = `update signing_keys set retired_at = now() + interval '15 minutes' where retired_at is null`
	// revokeSigningKeys is for a key that somebody else has: what it has signed is refused within 5 minutes, the time for
	// which services know keys by heart, and auth makes another at the next sign-in or refresh.
	revokeSigningKeys = `delete from signing_keys`
)

func changeSigningKeys(ctx context.Context, db *sql.DB, action, statement string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	defer tx.Rollback()
	result, err := tx.ExecContext(ctx, statement)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	ctx = caller.NewContext(ctx, caller.Caller{Kind: caller.Operator, RequestID: uuid.NewString()})
	if err := audit.Record(ctx, tx, audit.Event{Action: action, Details: map[string]any{"keys": n}}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}
