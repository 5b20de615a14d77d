package exchange

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
)

// Keys stores the exchange keys of all users. Each method works only on the keys of one user.
type Keys struct {
	DB          *sqlx.DB
	Ring        *keyring.Ring
	Connections *Connections
}

const keyColumns = `id, exchange, label, masked_key, is_testnet, permissions, is_valid, last_tested_at, created_at, updated_at`

// List returns all keys of a user. The oldest key comes first.
func (k *Keys) List(ctx context.Context, user uuid.UUID) ([]Key, error) {
	const q = `select ` + keyColumns + ` from exchange_keys where user_id = $1 order by created_at, id limit $2`
	keys := []Key{}
	if err := k.DB.SelectContext(ctx, &keys, q, user, MaxKeys); err != nil {
		return nil, fmt.Errorf("listing exchange keys: %w", err)
	}
	return keys, nil
}

// Has returns ErrNoKey if the user does not have this key.
func (k *Keys) Has(ctx context.Context, user, id uuid.UUID) error {
	const q = `select exists (select from exchange_keys where id = $1 and user_id = $2)`
	var has bool
	if err := k.DB.GetContext(ctx, &has, q, id, user); err != nil {
		return fmt.Errorf("reading an exchange key: %w", err)
	}
	if !has {
		return ErrNoKey
	}
	return nil
}

// NewKey is a key to store.
type NewKey struct {
	Exchange    string
	Label       *string
	IsTestnet   bool
	Permissions []string
	Credentials
}

// Create stores a key. It returns ErrNoPassphrase, ErrTooMany, or caller.ErrInvalid when the user was deleted.
func (k *Keys) Create(ctx context.Context, user uuid.UUID, n NewKey) (key Key, err error) {
	if err := n.check(n.Exchange); err != nil {
		return Key{}, err
	}
	id := uuid.New()
	sealed, err := n.seal(k.Ring, id)
	if err != nil {
		return Key{}, err
	}
	// The row lock makes parallel creations of one user wait for each other, so that the count below is right.
	const lock = `select id from users where id = $1 for no key update`
	const q = `
		insert into exchange_keys (id, user_id, exchange, label, masked_key, is_testnet, permissions, credentials_sealed)
		select $1, $2, $3, $4, $5, $6, $7, $8 where (select count(*) from exchange_keys where user_id = $2) < $9
		returning ` + keyColumns
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &user, lock, user)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, caller.ErrInvalid
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("locking the user: %w", err)
		}
		err = tx.GetContext(ctx, &key, q, id, user, n.Exchange, n.Label, n.masked(), n.IsTestnet, pq.StringArray(n.Permissions), sealed, MaxKeys)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, ErrTooMany
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("storing an exchange key: %w", err)
		}
		return auditEvent("created", id, map[string]any{"exchange": n.Exchange}), nil
	})
	return key, err
}

// Delete deletes a key. It returns ErrNoKey.
func (k *Keys) Delete(ctx context.Context, user, id uuid.UUID) error {
	const q = `delete from exchange_keys where id = $1 and user_id = $2 returning exchange`
	return audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		var exchange string
		err := tx.GetContext(ctx, &exchange, q, id, user)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, ErrNoKey
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("deleting an exchange key: %w", err)
		}
		return auditEvent("deleted", id, map[string]any{"exchange": exchange}), nil
	})
}

// requireFresh returns caller.ErrNotFresh, and records the refusal, when the last sign-in or step-up was too long ago.
func (k *Keys) requireFresh(ctx context.Context, id uuid.UUID) error {
	stale := caller.RequireFresh(ctx)
	if stale == nil {
		return nil
	}
	refused := audit.Event{Action: "access.refused", TargetID: audit.ID(id), Details: map[string]any{"why": "not_fresh"}}
	return audit.RecordRefusal(ctx, k.DB, refused, stale)
}

// Reveal returns the credentials of a key, after it has recorded this in the audit trail. It returns ErrNoKey, or
// caller.ErrNotFresh when the last sign-in or step-up was too long ago; a refusal is recorded too.
func (k *Keys) Reveal(ctx context.Context, user, id uuid.UUID) (c Credentials, err error) {
	if err := k.requireFresh(ctx, id); err != nil {
		return Credentials{}, err
	}
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		r, err := find(ctx, tx, user, id, "")
		if err != nil {
			return audit.Event{}, err
		}
		c, err = openCredentials(k.Ring, id, r.Sealed)
		return auditEvent("revealed", id, map[string]any{"exchange": r.Exchange}), err
	})
	if err != nil {
		return Credentials{}, err
	}
	return c, nil
}

// Test tests a key at its exchange and stores the result. It returns ErrNoKey, or ErrReplaced when the key was changed or
// deleted during the test.
func (k *Keys) Test(ctx context.Context, user, id uuid.UUID) (Result, error) {
	r, err := find(ctx, k.DB, user, id, "")
	if err != nil {
		return Result{}, err
	}
	c, err := openCredentials(k.Ring, id, r.Sealed)
	if err != nil {
		return Result{}, err
	}
	result := k.Connections.Test(ctx, r.Exchange, r.IsTestnet, c)
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("testing an exchange key: %w", ctx.Err()) // the result comes from the cancelled request, not from the exchange
	}
	const q = `
		update exchange_keys set is_valid = coalesce($3, is_valid), last_tested_at = now()
		 where id = $1 and generation = $2
		returning id`
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &id, q, id, r.Generation, result.Code.valid())
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, ErrReplaced
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("storing the result of a test: %w", err)
		}
		return auditEvent("tested", id, map[string]any{"exchange": r.Exchange, "code": result.Code}), nil
	})
	return result, err
}

// row is a complete row of exchange_keys.
type row struct {
	Key
	Sealed []byte `db:"credentials_sealed"`
	// Generation is renewed when the credentials or the network change, so that the result of an older test is not stored.
	Generation uuid.UUID `db:"generation"`
}

// find returns a user's key, or ErrNoKey. lock is the locking clause of the query; it may be empty.
func find(ctx context.Context, db sqlx.QueryerContext, user, id uuid.UUID, lock string) (row, error) {
	const q = `select ` + keyColumns + `, credentials_sealed, generation from exchange_keys where id = $1 and user_id = $2 `
	var r row
	err := sqlx.GetContext(ctx, db, &r, q+lock, id, user)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, ErrNoKey
	}
	if err != nil {
		return row{}, fmt.Errorf("reading an exchange key: %w", err)
	}
	return r, nil
}

func auditEvent(verb string, id uuid.UUID, details map[string]any) audit.Event {
	return audit.Event{Action: "exchange_key." + verb, TargetID: audit.ID(id), Details: details}
}
