package signing

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
)

// Rotate retires every key of a kind 15 minutes from now. That is long enough for the next key: a replica creates it within a
// minute, and it is published for 10 minutes before it signs. Tokens that the old keys signed stay valid until they expire.
func (k Kind) Rotate(ctx context.Context, db *sqlx.DB) error {
	return k.end(ctx, db, "rotated", `update `+k.Table+` set retired_at = now() + interval '15 minutes' where retired_at is null`)
}

// Revoke deletes every key of a kind. It is for a stolen key. Verifiers cache public keys for 5 minutes. After that they refuse
// every token that a deleted key signed. The next signature makes another key.
func (k Kind) Revoke(ctx context.Context, db *sqlx.DB) error {
	return k.end(ctx, db, "revoked", `delete from `+k.Table)
}

// end runs a statement on the keys and records the action with the number of keys that the statement changed.
func (k Kind) end(ctx context.Context, db *sqlx.DB, verb, statement string) error {
	action := k.Table + "." + verb
	return audit.Change(ctx, db, func(tx *sqlx.Tx) (audit.Event, error) {
		result, err := tx.ExecContext(ctx, statement)
		if err != nil {
			return audit.Event{}, fmt.Errorf("%s: %w", action, err)
		}
		n, err := result.RowsAffected()
		return audit.Event{Action: action, Details: map[string]any{"keys": n}}, err
	})
}
