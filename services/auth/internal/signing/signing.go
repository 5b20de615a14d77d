// Package signing keeps the Ed25519 keys by which access tokens are signed. The private halves lie sealed in the database
// and are read for each signature, so that every replica signs with the same key, and stops the moment it is retired.
package signing

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
)

// Keys are the signing keys of the deployment.
type Keys struct {
	db   *sqlx.DB
	ring *keyring.Ring
}

// New returns the keys in db, sealed under ring.
func New(db *sqlx.DB, ring *keyring.Ring) *Keys { return &Keys{db, ring} }

// Sign returns a JWT under the key in use, which its kid names.
func (k *Keys) Sign(ctx context.Context, claims jwt.Claims) (string, error) {
	id, key, err := k.inUse(ctx)
	if err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	t.Header["kid"] = id.String()
	text, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return text, nil
}

// Prepare makes a key when there is none to sign with, so that JWKS lists it before it is first needed.
func (k *Keys) Prepare(ctx context.Context) error {
	_, _, err := k.inUse(ctx)
	return err
}

// inUse returns the newest key that is not retired and that our ring opens. It makes one when there is none, at the first
// start and when a ring was replaced; of several replicas that find none at once, one makes it for all.
func (k *Keys) inUse(ctx context.Context) (uuid.UUID, ed25519.PrivateKey, error) {
	id, key, err := k.newest(ctx, k.db)
	if errors.Is(err, errNone) {
		return k.make(ctx)
	}
	return id, key, err
}

// errNone says that there is no key to sign with. It stays in here.
var errNone = errors.New("no signing key")

func (k *Keys) newest(ctx context.Context, db sqlx.QueryerContext) (uuid.UUID, ed25519.PrivateKey, error) {
	const q = `select id, private_sealed from signing_keys where retired_at is null order by created_at desc, id`
	var rows []struct {
		ID     uuid.UUID `db:"id"`
		Sealed []byte    `db:"private_sealed"`
	}
	if err := sqlx.SelectContext(ctx, db, &rows, q); err != nil {
		return uuid.Nil, nil, fmt.Errorf("looking up the signing key: %w", err)
	}
	for _, row := range rows {
		// One that does not open was sealed under a key that has left our ring; those who still have it may go on.
		if seed, err := k.ring.Open(keyring.SigningKeys, row.ID.String(), row.Sealed); err == nil && len(seed) == ed25519.SeedSize {
			return row.ID, ed25519.NewKeyFromSeed(seed), nil
		}
	}
	return uuid.Nil, nil, errNone
}

func (k *Keys) make(ctx context.Context) (uuid.UUID, ed25519.PrivateKey, error) {
	fail := func(err error) (uuid.UUID, ed25519.PrivateKey, error) {
		return uuid.Nil, nil, fmt.Errorf("making a signing key: %w", err)
	}
	tx, err := k.db.BeginTxx(ctx, nil)
	if err != nil {
		return fail(err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, `select pg_advisory_xact_lock(hashtext('signing_keys'))`); err != nil {
		return fail(err)
	}
	if id, key, err := k.newest(ctx, tx); !errors.Is(err, errNone) {
		return id, key, err // another replica was faster
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fail(err)
	}
	id := uuid.New()
	sealed, err := k.ring.Seal(keyring.SigningKeys, id.String(), private.Seed())
	if err != nil {
		return fail(err)
	}
	const q = `insert into signing_keys (id, public_key, private_sealed) values ($1, $2, $3)`
	if _, err := tx.ExecContext(ctx, q, id, []byte(public), sealed); err != nil {
		return fail(err)
	}
	if err := tx.Commit(); err != nil {
		return fail(err)
	}
	return id, private, nil
}

// Public is the half of a key that everybody may know.
type Public struct {
	ID  uuid.UUID `db:"id"`
	Key []byte    `db:"public_key"`
}

// Public returns the keys of all tokens that may still be good when tokens live this long, the newest first.
func (k *Keys) Public(ctx context.Context, lifetime time.Duration) ([]Public, error) {
	// A minute more, for a signature that was under way while its key was retired.
	const q = `
		select id, public_key from signing_keys
		 where retired_at is null or retired_at > now() - make_interval(secs => $1) - interval '1 minute'
		 order by created_at desc, id`
	keys := []Public{}
	if err := k.db.SelectContext(ctx, &keys, q, lifetime.Seconds()); err != nil {
		return nil, fmt.Errorf("listing the signing keys: %w", err)
	}
	return keys, nil
}
