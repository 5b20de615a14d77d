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
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/token"
)

// ProxyKey is a stored proxy key, without the key itself.
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

// ProxyKeys returns one page of an instance's keys, including expired and revoked keys.
func (k Keys) ProxyKeys(ctx context.Context, instance uuid.UUID, p page.Page) (page.Of[ProxyKey], error) {
	return page.Read[ProxyKey](ctx, k.DB, page.List{
		Columns: proxyKeyColumns, Table: `proxy_keys`, Where: `instance_id = $1`, Args: []any{instance},
		Searched: []string{`lower(name)`}, Sorts: map[string]string{"name": `lower(name)`},
	}, p)
}

// IssueProxyKey creates a key for an instance. Other keys of the instance stay valid. It returns directory.ErrNoInstance, or
// ErrExpired when the expiry is in the past. If an API key issues it, the new key does not expire later (ErrOutlives).
func (k Keys) IssueProxyKey(ctx context.Context, instance uuid.UUID, n NewKey) (issued ProxyKey, key token.Token, err error) {
	key = token.New(token.ProxyKey)
	const q = `
		insert into proxy_keys (instance_id, name, prefix, key_hash, expires_at)
		select $1, $2, $3, $4, $5 where $5::timestamptz is null or $5 > now()
		returning ` + proxyKeyColumns
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		n, err := n.limited(ctx, tx)
		if err != nil {
			return audit.Event{}, err
		}
		err = tx.GetContext(ctx, &issued, q, instance, n.Name, key.Prefix(), key.Hash(), n.ExpiresAt)
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

// RevokeProxyKey revokes a key of an instance. The row stays. It returns ErrNoKey.
func (k Keys) RevokeProxyKey(ctx context.Context, instance, id uuid.UUID) error {
	const q = `
		with revoked as (
		    update proxy_keys set revoked_at = now() where id = $1 and instance_id = $2 and revoked_at is null returning id
		)
		select exists (select from revoked) from proxy_keys where id = $1 and instance_id = $2`
	event := audit.Event{Action: "proxy_key.revoked", InstanceID: audit.ID(instance), TargetID: audit.ID(id)}
	return k.revoke(ctx, event, q, id, instance)
}

// AuthenticateProxyKey returns the caller that a proxy key names, with the key's instance. It returns caller.ErrInvalid when
// the key is unknown, expired or revoked.
func (k Keys) AuthenticateProxyKey(ctx context.Context, key token.Token) (caller.Caller, error) {
	const q = `select k.id, k.instance_id, ` + UseUnrecorded + ` as use_unrecorded from proxy_keys k where k.key_hash = $1 and ` + Valid
	var row struct {
		ID            uuid.UUID `db:"id"`
		InstanceID    uuid.UUID `db:"instance_id"`
		UseUnrecorded bool      `db:"use_unrecorded"`
	}
	err := k.DB.GetContext(ctx, &row, q, key.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return caller.Caller{}, caller.ErrInvalid
	}
	if err != nil {
		return caller.Caller{}, fmt.Errorf("authenticating a proxy key: %w", err)
	}
	if row.UseUnrecorded {
		if err := k.RecordProxyKeyUse(ctx, row.ID); err != nil {
			return caller.Caller{}, err
		}
	}
	return caller.Caller{Kind: caller.ProxyKey, ID: row.ID, InstanceID: row.InstanceID, Key: key}, nil
}

// RecordProxyKeyUse sets last_used_at of a proxy key, at most once a minute.
func (k Keys) RecordProxyKeyUse(ctx context.Context, id uuid.UUID) error {
	return k.recordUse(ctx, "proxy_keys", id)
}
