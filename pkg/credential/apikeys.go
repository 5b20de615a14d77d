package credential

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/token"
)

// APIKey is what is kept of an API key.
type APIKey struct {
	CreatedAt  time.Time      `db:"created_at"`
	ExpiresAt  *time.Time     `db:"expires_at"`
	ID         uuid.UUID      `db:"id"`
	LastUsedAt *time.Time     `db:"last_used_at"`
	Name       *string        `db:"name"`
	Prefix     string         `db:"prefix"`
	RevokedAt  *time.Time     `db:"revoked_at"`
	Scopes     pq.StringArray `db:"scopes"`
}

const apiKeyColumns = `created_at, expires_at, id, last_used_at, name, prefix, revoked_at, scopes`

// APIKeys returns one page of all API keys, those that are good no more included.
func (k Keys) APIKeys(ctx context.Context, p page.Page) (page.Of[APIKey], error) {
	return page.Read[APIKey](ctx, k.DB, page.List{
		Columns: apiKeyColumns, Table: `api_keys`, Searched: []string{`lower(name)`}, Sorts: map[string]string{"name": `lower(name)`},
	}, p)
}

// IssueAPIKey makes a key with these scopes. A key with the scope admin may do so too, and so may make its own successor.
// It returns ErrExpired.
func (k Keys) IssueAPIKey(ctx context.Context, scopes []string, w Wish) (issued APIKey, key token.Token, err error) {
	key = token.New(token.APIKey)
	const q = `
		insert into api_keys (name, prefix, key_hash, scopes, expires_at)
		select $1, $2, $3, $4, $5 where $5::timestamptz is null or $5 > now()
		returning ` + apiKeyColumns
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &issued, q, w.Name, key.Prefix(), key.Hash(), pq.StringArray(scopes), w.ExpiresAt)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, ErrExpired
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("issuing an API key: %w", err)
		}
		return audit.Event{Action: "api_key.issued", TargetID: audit.ID(issued.ID),
			Details: map[string]any{"prefix": issued.Prefix, "expires_at": issued.ExpiresAt, "scopes": scopes}}, nil
	})
	return issued, key, err
}

// RevokeAPIKey ends a key for good; the row stays. It returns ErrNoKey.
func (k Keys) RevokeAPIKey(ctx context.Context, id uuid.UUID) error {
	const q = `
		with revoked as (
		    update api_keys set revoked_at = now() where id = $1 and revoked_at is null returning id
		)
		select exists (select from revoked) from api_keys where id = $1`
	return k.revoke(ctx, audit.Event{Action: "api_key.revoked", TargetID: audit.ID(id)}, q, id)
}
