// Package credential issues, lists, revokes and authenticates the keys of programs: proxy keys and API keys. The plain key
// is returned once, when it is issued. The database stores only its SHA-256. Every authentication reads the database, so a
// revoked key is refused by every replica from the next request on.
package credential

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
)

// Errors of issuing and revoking.
var (
	ErrNoKey   = fault.New(fault.NotFound, "key_not_found", "Key not found")
	ErrExpired = fault.New(fault.Invalid, "expiry_past", "The key would have expired already").About("expires_at")
	// ErrOutlives and ErrExceeds refuse a key that could do more than the API key that issues it.
	ErrOutlives = fault.New(fault.Invalid, "expiry_after_issuer", "The key would expire later than the API key that issues it").About("expires_at")
	ErrExceeds  = fault.New(fault.Invalid, "scope_exceeds_issuer", "The API key that issues the key does not have this scope").About("scopes")
)

// SQL conditions on a row k of proxy_keys or api_keys. The query that resolves a verification, in package pin, uses them too.
const (
	// Valid is true while the key is accepted: it is not revoked and has not expired.
	Valid = `k.revoked_at is null and (k.expires_at is null or k.expires_at > now())`
	// UseUnrecorded is true when the key's use must be recorded. A use within a minute of the recorded one is not written.
	UseUnrecorded = `(k.last_used_at is null or k.last_used_at < now() - interval '1 minute')`
)

// Keys stores the keys.
type Keys struct{ DB *sqlx.DB }

// NewKey describes a key to issue.
type NewKey struct {
	Name *string
	// ExpiresAt is nil for a key that does not expire. If an API key that expires issues the key, nil means the expiry of that
	// API key.
	ExpiresAt *time.Time
}

// limited returns n with the expiry that applies when the caller issues it. It returns ErrOutlives, and caller.ErrInvalid when
// the issuing API key was revoked after it was authenticated: the row lock makes its revocation wait for tx, so a revoked key
// leaves no key that its revoker could not see.
func (n NewKey) limited(ctx context.Context, tx *sqlx.Tx) (NewKey, error) {
	issuer := caller.From(ctx)
	if issuer.Kind != caller.APIKey {
		return n, nil
	}
	const q = `select k.expires_at from api_keys k where k.id = $1 and ` + Valid + ` for share`
	var latest *time.Time
	err := tx.GetContext(ctx, &latest, q, issuer.ID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return NewKey{}, caller.ErrInvalid
	case err != nil:
		return NewKey{}, fmt.Errorf("reading the issuing API key: %w", err)
	case latest == nil:
		return n, nil
	case n.ExpiresAt == nil:
		n.ExpiresAt = latest
	case n.ExpiresAt.After(*latest):
		return NewKey{}, ErrOutlives
	}
	return n, nil
}

// recordUse sets last_used_at of a key, at most once a minute. It does not wait for the key's row: another request that records the
// use may itself wait for a synchronous standby, and must not stop all requests with this key.
func (k Keys) recordUse(ctx context.Context, table string, id uuid.UUID) error {
	q := `
		update ` + table + ` set last_used_at = now()
		 where id = (select k.id from ` + table + ` k where k.id = $1 and ` + UseUnrecorded + ` for no key update skip locked)`
	if _, err := k.DB.ExecContext(ctx, q, id); err != nil {
		return fmt.Errorf("recording the use of a key in %s: %w", table, err)
	}
	return nil
}

// revoke runs a query that revokes a key, and records the event when the query revoked it. The query returns true when it
// revoked the key, false when the key was revoked before, and no row when there is no such key.
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
			return audit.Event{}, errAlreadyRevoked
		}
		return event, nil
	})
	if errors.Is(err, errAlreadyRevoked) {
		return nil
	}
	return err
}

// errAlreadyRevoked ends a revocation that changes nothing, so that no audit row is written.
var errAlreadyRevoked = errors.New("the key was revoked before")
