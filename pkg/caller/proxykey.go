package caller

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/token"
)

// ErrNotWithin says that what was asked for is not within the proxy key's instance, which may or may not exist.
var ErrNotWithin = fault.New(fault.NotFound, "instance_not_found", "Instance not found")

// ProxyKeys knows the proxy keys of all instances.
type ProxyKeys struct{ DB *sqlx.DB }

// Authenticate returns the caller behind a proxy key, with the one instance that it opens. It returns ErrInvalid for a key
// that is unknown, expired or revoked.
func (k ProxyKeys) Authenticate(ctx context.Context, key token.Token) (Caller, error) {
	const q = `
		select id, instance_id, last_used_at is null or last_used_at < now() - interval '1 minute' as stale
		  from proxy_keys
		 where key_hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())`
	var row struct {
		ID         uuid.UUID `db:"id"`
		InstanceID uuid.UUID `db:"instance_id"`
		Stale      bool      `db:"stale"`
	}
	err := k.DB.GetContext(ctx, &row, q, key.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return Caller{}, ErrInvalid
	}
	if err != nil {
		return Caller{}, fmt.Errorf("looking up a proxy key: %w", err)
	}
	if row.Stale {
		if err := k.Used(ctx, row.ID); err != nil {
			return Caller{}, err
		}
	}
	return Caller{Kind: ProxyKey, ID: row.ID, InstanceID: row.InstanceID, Key: key}, nil
}

// Used notes that a key was used, at most once a minute, so that the hot path does not write.
func (k ProxyKeys) Used(ctx context.Context, id uuid.UUID) error {
	const q = `update proxy_keys set last_used_at = now()
	            where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')`
	if _, err := k.DB.ExecContext(ctx, q, id); err != nil {
		return fmt.Errorf("noting the use of a proxy key: %w", err)
	}
	return nil
}
