package stores

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// InTransaction runs do in a transaction and commits it. When do returns an error, it rolls back and returns that error.
func InTransaction(ctx context.Context, db *sqlx.DB, do func(tx *sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing a transaction: %w", err)
	}
	return nil
}
