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
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/token"
)

// ProxyKey is what is kept of a proxy key.
type ProxyKey struct {
	CreatedAt  time.Time  `db:"created_at"`
	ExpiresAt  *time.Time `db:"expires_at"`
	ID         uuid.UUID  `db:"id"`
	LastUsedAt *time.Time `db:"last_used_at"`
	Name       *string    `db:"name"`
	Prefix     string     `db:"prefix"`
	RevokedAt  *time.Time `db:"revoked_at"`
}

const proxyKeyColumns = `created_at, expires_at, id, last_used_at, name, prefix, revoked_at`

// ProxyKeys returns one page of an instance's keys, those that are good no more included.
func (k Keys) ProxyKeys(ctx context.Context, instance uuid.UUID, p page.Page) (page.Of[ProxyKey], error) {
	return page.Read[ProxyKey](ctx, k.DB, page.List{
		Columns: proxyKeyColumns, Table: `proxy_keys`, Where: `instance_id = $1`, Args: []any{instance},
		Searched: []string{`lower(name)`}, Sorts: map[string]string{"name": `lower(name)`},
	}, p)
}

// IssueProxyKey makes a key for an instance, beside those that it has. It returns directory.ErrNoInstance or ErrExpired.
func (k Keys) IssueProxyKey(ctx context.Context, instance uuid.UUID, w Wish) (issued ProxyKey, key token.Token, err error) {
	key = token.New(token.ProxyKey)
	const q = `
		insert into proxy_keys (instance_id, name, prefix, key_hash, expires_at)
		select $1, $2, $3, $4, $5 where $5::timestamptz is null or $5 > now()
		returning ` + proxyKeyColumns
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &issued, q, instance, w.Name, key.Prefix(), key.Hash(), w.ExpiresAt)
		var violation *pq.Error
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audit.Event{}, ErrExpired
		case errors.As(err, &violation) && violation.Code == "23503": // foreign_key_violation
			return audit.Event{}, directory.ErrNoInstance
		case err != nil:
			return audit.Event{}, fmt.Errorf("issuing a proxy key: %w", err)
		}
		return audit.Event{Action: "proxy_key.issued", InstanceID: audit.ID(instance), TargetID: audit.ID(issued.ID),
			Details: map[string]any{"prefix": issued.Prefix, "expires_at": issued.ExpiresAt}}, nil
	})
	return issued, key, err
}

// RevokeProxyKey ends an instance's key for good; the row stays. It returns ErrNoKey.
func (k Keys) RevokeProxyKey(ctx context.Context, instance, id uuid.UUID) error {
	const q = `
		with revoked as (
		    update proxy_keys set revoked_at = now() where id = $1 and instance_id = $2 and revoked_at is null returning id
		)
		select exists (select from revoked) from proxy_keys where id = $1 and instance_id = $2`
	event := audit.Event{Action: "proxy_key.revoked", InstanceID: audit.ID(instance), TargetID: audit.ID(id)}
	return k.revoke(ctx, event, q, id, instance)
}
