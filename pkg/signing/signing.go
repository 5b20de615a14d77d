// Package signing stores Ed25519 keys that sign tokens. The private keys are sealed in the database and read for each signature, so
// that every replica signs with the same key and stops when the key is retired. A public key is published some time before its key
// signs, and after that until its last token has expired.
package signing

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/stores"
)

const (
	// overlap is how long a new key is published before it signs, if another key can sign in that time. It is twice the time for
	// which verifiers may cache the public keys.
	overlap = "interval '10 minutes'"
	// checkInterval is how often a replica checks whether a new key is needed.
	checkInterval = time.Minute
)

// Keys are the signing keys of one kind.
type Keys struct {
	kind     Kind
	db       *sqlx.DB
	ring     *keyring.Ring
	lifetime time.Duration
}

// New returns the keys of a kind in db, sealed with ring. lifetime is the age at which a key is replaced: at least 1h.
func New(kind Kind, db *sqlx.DB, ring *keyring.Ring, lifetime time.Duration) *Keys {
	return &Keys{kind, db, ring, lifetime}
}

// Sign returns a token that is signed with the current key. It creates a key if no key is usable.
func (k *Keys) Sign(ctx context.Context, claims jwt.Claims) (string, error) {
	key, err := k.current(ctx)
	if err != nil {
		return "", err
	}
	return k.SignWith(key, claims)
}

// SignWith returns a token that is signed with a key. Its kid is the key's id. The same claims give the same token.
func (k *Keys) SignWith(key Key, claims jwt.Claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	t.Header["kid"], t.Header["typ"] = key.ID.String(), k.kind.Type
	text, err := t.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return text, nil
}

// Key is a private key.
type Key struct {
	ID      uuid.UUID
	private ed25519.PrivateKey
}

// Open opens the private key of a row. The error may be keyring.ErrUnknownKey or keyring.ErrSealBroken.
func (k *Keys) Open(id uuid.UUID, sealed []byte) (Key, error) {
	seed, err := k.ring.Open(k.kind.Purpose, id.String(), sealed)
	if err == nil && len(seed) != ed25519.SeedSize {
		err = keyring.ErrSealBroken
	}
	if err != nil {
		return Key{}, fmt.Errorf("opening a key of %s: %w", k.kind.Table, err)
	}
	return Key{id, ed25519.NewKeyFromSeed(seed)}, nil
}

// Run creates the next key before it is needed, until ctx ends.
func (k *Keys) Run(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := k.Prepare(ctx); err != nil && ctx.Err() == nil {
				log.Warn("creating the next signing key failed", "table", k.kind.Table, "error", err.Error())
			}
		case <-ctx.Done():
			return
		}
	}
}

// Prepare creates a key unless a usable key goes on signing. A key is needed at the first start, when the newest key is too old
// or will be retired, and when the ring was replaced. Old keys sign until the new key has been published for the overlap. If
// several replicas need a key at the same time, only one replica creates it.
func (k *Keys) Prepare(ctx context.Context) error {
	keys, err := k.usable(ctx, k.db)
	if err != nil || goesOn(keys) {
		return err
	}
	err = stores.InTransaction(ctx, k.db, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `select pg_advisory_xact_lock(hashtext($1))`, k.kind.Table); err != nil {
			return err
		}
		if keys, err := k.usable(ctx, tx); err != nil || goesOn(keys) {
			return err // another replica created the key
		}
		return k.create(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("creating a key in %s: %w", k.kind.Table, err)
	}
	return nil
}

// create stores a new key and sets the time at which the keys that are too old are retired.
func (k *Keys) create(ctx context.Context, tx *sqlx.Tx) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	id := uuid.New()
	sealed, err := k.ring.Seal(k.kind.Purpose, id.String(), private.Seed())
	if err != nil {
		return err
	}
	retire := `update ` + k.kind.Table + ` set retired_at = now() + ` + overlap + ` where retired_at is null and ` + old
	if _, err := tx.ExecContext(ctx, retire, k.lifetime.Seconds()); err != nil {
		return err
	}
	insert := `insert into ` + k.kind.Table + ` (id, public_key, private_sealed) values ($1, $2, $3)`
	_, err = tx.ExecContext(ctx, insert, id, []byte(public), sealed)
	return err
}

// old is the condition of keys that are older than $1 seconds.
const old = `created_at <= now() - make_interval(secs => $1)`

// usableKey is a key that may sign and that the ring opens.
type usableKey struct {
	Key
	goesOn bool // the key is not too old and will not be retired
}

func goesOn(keys []usableKey) bool {
	return slices.ContainsFunc(keys, func(k usableKey) bool { return k.goesOn })
}

// current returns the newest key that has been published for the overlap, or the oldest key if there is no such key. It creates
// a key if no key is usable.
func (k *Keys) current(ctx context.Context) (Key, error) {
	keys, err := k.usable(ctx, k.db)
	if err == nil && len(keys) == 0 {
		if err = k.Prepare(ctx); err == nil {
			keys, err = k.usable(ctx, k.db)
		}
	}
	if err != nil {
		return Key{}, err
	}
	if len(keys) == 0 {
		return Key{}, errors.New("the new signing key was retired at once")
	}
	return keys[0].Key, nil
}

// usable returns the keys that may sign and that the ring opens. The first of them is the current key.
func (k *Keys) usable(ctx context.Context, db sqlx.QueryerContext) ([]usableKey, error) {
	q := `select id, private_sealed, retired_at is null and not ` + old + ` as goes_on from ` + k.kind.Table + `
	       where ` + maySign + ` order by ` + signsFirst
	var rows []struct {
		ID     uuid.UUID `db:"id"`
		Sealed []byte    `db:"private_sealed"`
		GoesOn bool      `db:"goes_on"`
	}
	if err := sqlx.SelectContext(ctx, db, &rows, q, k.lifetime.Seconds()); err != nil {
		return nil, fmt.Errorf("looking up %s: %w", k.kind.Table, err)
	}
	var usable []usableKey
	for _, row := range rows {
		// A key that does not open was sealed with a key that is not on this ring. Replicas with that key may use it.
		if key, err := k.Open(row.ID, row.Sealed); err == nil {
			usable = append(usable, usableKey{key, row.GoesOn})
		}
	}
	return usable, nil
}

// Public is a public key.
type Public struct {
	ID  uuid.UUID `db:"id"`
	Key []byte    `db:"public_key"`
}

// Public returns the public keys of all tokens with this lifetime that may still be valid, newest first. It creates a key if
// there is none, because verifiers cache the answer: an empty list would make them refuse the first tokens.
func (k *Keys) Public(ctx context.Context, lifetime time.Duration) ([]Public, error) {
	keys, err := k.published(ctx, lifetime)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	if err := k.Prepare(ctx); err != nil {
		return nil, err
	}
	return k.published(ctx, lifetime)
}

func (k *Keys) published(ctx context.Context, lifetime time.Duration) ([]Public, error) {
	// One more minute for a signature that was in progress when its key was retired.
	q := `
		select id, public_key from ` + k.kind.Table + `
		 where retired_at is null or retired_at > now() - make_interval(secs => $1) - interval '1 minute'
		 order by created_at desc, id`
	keys := []Public{}
	if err := k.db.SelectContext(ctx, &keys, q, lifetime.Seconds()); err != nil {
		return nil, fmt.Errorf("listing %s: %w", k.kind.Table, err)
	}
	return keys, nil
}
