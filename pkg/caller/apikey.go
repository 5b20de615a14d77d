package caller

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/token"
)

// APIKeys knows the API keys of the deployment.
type APIKeys struct{ DB *sqlx.DB }

// Authenticate returns the caller behind an API key, or ErrInvalid for one that is malformed, unknown, expired or revoked.
func (k APIKeys) Authenticate(ctx context.Context, text string) (Caller, error) {
	key, err := token.Parse(token.APIKey, text, 0)
	if err != nil {
		return Caller{}, ErrInvalid
	}
	return k.good(ctx, `key_hash = $1`, key.Hash())
}

// ByID returns the caller behind the API key with an id, or ErrInvalid when it is unknown, expired or revoked.
func (k APIKeys) ByID(ctx context.Context, id uuid.UUID) (Caller, error) {
	return k.good(ctx, `id = $1`, id)
}

func (k APIKeys) good(ctx context.Context, which string, arg any) (Caller, error) {
	q := `
		select id, scopes, last_used_at is null or last_used_at < now() - interval '1 minute' as stale
		  from api_keys
		 where ` + which + ` and revoked_at is null and (expires_at is null or expires_at > now())`
	var row struct {
		ID     uuid.UUID      `db:"id"`
		Scopes pq.StringArray `db:"scopes"`
		Stale  bool           `db:"stale"`
	}
	err := k.DB.GetContext(ctx, &row, q, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return Caller{}, ErrInvalid
	}
	if err != nil {
		return Caller{}, fmt.Errorf("looking up an API key: %w", err)
	}
	if row.Stale {
		const q = `update api_keys set last_used_at = now()
		            where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')`
		if _, err := k.DB.ExecContext(ctx, q, row.ID); err != nil {
			return Caller{}, fmt.Errorf("noting the use of an API key: %w", err)
		}
	}
	return Caller{Kind: APIKey, ID: row.ID, Scopes: row.Scopes}, nil
}
