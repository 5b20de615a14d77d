package signing

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/services/auth/internal/seal"
)

// Rotate retires every signing key 15 minutes from now. That is long enough for the next key: a replica of auth creates it
// within a minute, and it is published for 10 minutes before it signs. Tokens that the old keys signed stay valid until they
// expire.
func Rotate(ctx context.Context, db *sqlx.DB) error {
	return end(ctx, db, "signing_keys.rotated", `update signing_keys set retired_at = now() + interval '15 minutes' where retired_at is null`)
}

// Revoke deletes every signing key. It is for a stolen key. Services cache public keys for 5 minutes. After that they
// refuse every token that a deleted key signed. auth makes another key at the next sign-in or refresh.
func Revoke(ctx context.Context, db *sqlx.DB) error {
	return end(ctx, db, "signing_keys.revoked", `delete from signing_keys`)
}

// end runs a statement on the signing keys and records the action with the number of keys that the statement changed.
func end(ctx context.Context, db *sqlx.DB, action, statement string) error {
	return audit.Change(ctx, db, func(tx *sqlx.Tx) (audit.Event, error) {
		result, err := tx.ExecContext(ctx, statement)
		if err != nil {
			return audit.Event{}, fmt.Errorf("%s: %w", action, err)
		}
		n, err := result.RowsAffected()
		return audit.Event{Action: action, Details: map[string]any{"keys": n}}, err
	})
}

// Sealed is the column of private keys.
var Sealed = seal.Column{Values: "signing keys", Table: "signing_keys", Column: "private_sealed", ID: "id", Purpose: keyring.SigningKeys}
