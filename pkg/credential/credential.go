// Package credential issues, lists and revokes the keys that programs show: proxy keys and API keys. A key is in the
// clear once, in the answer to whoever had it issued; after that there is its hash. Package caller recognizes them.
package credential

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
)

// The failures of keys.
var (
	ErrNoKey   = fault.New(fault.NotFound, "key_not_found", "Key not found")
	ErrExpired = fault.New(fault.Invalid, "expiry_past", "The key would have expired already").About("expires_at")
)

// Keys keeps the keys of the deployment.
type Keys struct{ DB *sqlx.DB }

// Wish says what key is wanted: its name, and when it ends (nil: never).
type Wish struct {
	Name      *string
	ExpiresAt *time.Time
}

// revoke makes one revocation, with its row in the audit trail when the key was good until now. The query returns
// whether it was, or nothing when there is no such key.
func (k Keys) revoke(ctx context.Context, event audit.Event, query string, args ...any) error {
	err := audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		var revoked bool
		err := tx.GetContext(ctx, &revoked, query, args...)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audit.Event{}, ErrNoKey
		case err != nil:
			return audit.Event{}, fmt.Errorf("revoking a key: %w", err)
		case !revoked:
			return audit.Event{}, errRevokedBefore
		}
		return event, nil
	})
	if errors.Is(err, errRevokedBefore) {
		return nil
	}
	return err
}

// errRevokedBefore ends a revocation that has nothing to do.
var errRevokedBefore = errors.New("the key was revoked before")
