package credential

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/token"
)

// APIKey is a stored API key, without the key itself.
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

// APIKeys returns one page of all API keys, including expired and revoked keys.
func (k Keys) APIKeys(ctx context.Context, p page.Page) (page.Of[APIKey], error) {
	return page.Read[APIKey](ctx, k.DB, page.List{
		Columns: apiKeyColumns, Table: `api_keys`, Searched: []string{`lower(name)`}, Sorts: map[string]string{"name": `lower(name)`},
	}, p)
}

// IssueAPIKey creates a key with these scopes. It returns ErrExpired when the expiry is in the past. If an API key issues it, the
// new key has no scope that the issuer does not have (ErrExceeds) and does not expire later (ErrOutlives).
func (k Keys) IssueAPIKey(ctx context.Context, scopes []string, n NewKey) (issued APIKey, key token.Token, err error) {
	issuer := caller.From(ctx)
	if issuer.Kind == caller.APIKey && slices.ContainsFunc(scopes, func(scope string) bool { return !issuer.HasScope(scope) }) {
		return APIKey{}, token.Token{}, ErrExceeds
	}
	key = token.New(token.APIKey)
	const q = `
		insert into api_keys (name, prefix, key_hash, scopes, expires_at)
		select $1, $2, $3, $4, $5 where $5::timestamptz is null or $5 > now()
		returning ` + apiKeyColumns
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		n, err := n.limited(ctx, tx)
		if err != nil {
			return audit.Event{}, err
		}
		err = tx.GetContext(ctx, &issued, q, n.Name, key.Prefix(), key.Hash(), pq.StringArray(scopes), n.ExpiresAt)
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

// RevokeAPIKey revokes a key. The row stays. It returns ErrNoKey.
func (k Keys) RevokeAPIKey(ctx context.Context, id uuid.UUID) error {
	const q = `
		with revoked as (
		    update api_keys set revoked_at = now() where id = $1 and revoked_at is null returning id
		)
		select exists (select from revoked) from api_keys where id = $1`
	return k.revoke(ctx, audit.Event{Action: "api_key.revoked", TargetID: audit.ID(id)}, q, id)
}

// AuthenticateAPIKey returns the caller that an API key names. It returns caller.ErrInvalid when the key is malformed,
// unknown, expired or revoked.
func (k Keys) AuthenticateAPIKey(ctx context.Context, text string) (caller.Caller, error) {
	key, err := token.Parse(token.APIKey, text, 0)
	if err != nil {
		return caller.Caller{}, caller.ErrInvalid
	}
	return k.apiKeyCaller(ctx, `k.key_hash = $1`, key.Hash())
}

// AuthenticateAPIKeyID returns the caller for the id of an API key, for an access token that was issued to that key. It
// returns caller.ErrInvalid when the key is unknown, expired or revoked.
func (k Keys) AuthenticateAPIKeyID(ctx context.Context, id uuid.UUID) (caller.Caller, error) {
	return k.apiKeyCaller(ctx, `k.id = $1`, id)
}

func (k Keys) apiKeyCaller(ctx context.Context, condition string, arg any) (caller.Caller, error) {
	q := `select k.id, k.scopes, ` + UseUnrecorded + ` as use_unrecorded from api_keys k where ` + condition + ` and ` + Valid
	var row struct {
		ID            uuid.UUID      `db:"id"`
		Scopes        pq.StringArray `db:"scopes"`
		UseUnrecorded bool           `db:"use_unrecorded"`
	}
	err := k.DB.GetContext(ctx, &row, q, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return caller.Caller{}, caller.ErrInvalid
	}
	if err != nil {
		return caller.Caller{}, fmt.Errorf("authenticating an API key: %w", err)
	}
	if row.UseUnrecorded {
		if err := k.recordUse(ctx, "api_keys", row.ID); err != nil {
			return caller.Caller{}, err
		}
	}
	return caller.Caller{Kind: caller.APIKey, ID: row.ID, Scopes: row.Scopes}, nil
}
