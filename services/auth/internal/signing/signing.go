// Package signing keeps the Ed25519 keys by which access tokens are signed. The private halves lie sealed in the database
// and are read for each signature, so that every replica signs with the same key, and stops the moment it is retired. A key is
// published before it signs, and after it did for as long as its tokens are good.
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
	// overlap is how long a new key is published before it signs, as long as there is another that does: twice the time for
	// which verifiers may keep the answer of /.well-known/jwks.json.
	overlap = "interval '10 minutes'"
	// lookEvery is how often a replica looks whether a key has to be made. It comes on top of the overlap.
	lookEvery = time.Minute
)

// Keys are the signing keys of the deployment.
type Keys struct {
	db       *sqlx.DB
	ring     *keyring.Ring
	lifetime time.Duration
}

// New returns the keys in db, sealed under ring. lifetime is the age at which one is replaced: at least an hour.
func New(db *sqlx.DB, ring *keyring.Ring, lifetime time.Duration) *Keys {
	return &Keys{db, ring, lifetime}
}

// Sign returns a JWT under the key in use, which its kid names.
func (k *Keys) Sign(ctx context.Context, claims jwt.Claims) (string, error) {
	key, err := k.inUse(ctx)
	if err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	t.Header["kid"] = key.ID.String()
	text, err := t.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return text, nil
}

// Run has the next key ready before it is needed, until ctx ends.
func (k *Keys) Run(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := k.Prepare(ctx); err != nil && ctx.Err() == nil {
				log.Warn("the next signing key cannot be made yet", "error", err.Error())
			}
		case <-ctx.Done():
			return
		}
	}
}

// Prepare makes a key unless there is one that goes on signing: at the first start, when the last one is too old or is to
// be retired, and when a ring was replaced. Those that are too old sign until the new one has been published for long
// enough. Of several replicas that find none at once, one makes it for all.
func (k *Keys) Prepare(ctx context.Context) error {
	keys, err := k.mine(ctx, k.db)
	if err != nil || goesOn(keys) {
		return err
	}
	err = stores.InTransaction(ctx, k.db, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `select pg_advisory_xact_lock(hashtext('signing_keys'))`); err != nil {
			return err
		}
		if keys, err := k.mine(ctx, tx); err != nil || goesOn(keys) {
			return err // another replica was faster
		}
		return k.make(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	return nil
}

func (k *Keys) make(ctx context.Context, tx *sqlx.Tx) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	id := uuid.New()
	sealed, err := k.ring.Seal(keyring.SigningKeys, id.String(), private.Seed())
	if err != nil {
		return err
	}
	const retire = `update signing_keys set retired_at = now() + ` + overlap + ` where retired_at is null and ` + old
	if _, err := tx.ExecContext(ctx, retire, k.lifetime.Seconds()); err != nil {
		return err
	}
	const insert = `insert into signing_keys (id, public_key, private_sealed) values ($1, $2, $3)`
	_, err = tx.ExecContext(ctx, insert, id, []byte(public), sealed)
	return err
}

// old is the age at which a key is replaced, $1 seconds.
const old = `created_at <= now() - make_interval(secs => $1)`

// key is one that may sign and that our ring opens.
type key struct {
	ID     uuid.UUID `db:"id"`
	Sealed []byte    `db:"private_sealed"`
	// GoesOn says that it is neither old nor to be retired.
	GoesOn  bool `db:"goes_on"`
	private ed25519.PrivateKey
}

func goesOn(keys []key) bool {
	return slices.ContainsFunc(keys, func(k key) bool { return k.GoesOn })
}

// inUse returns the newest key that has been published for long enough; when there is none, the one that has been for the
// longest time.
func (k *Keys) inUse(ctx context.Context) (key, error) {
	keys, err := k.mine(ctx, k.db)
	if err == nil && len(keys) == 0 {
		if err = k.Prepare(ctx); err == nil {
			keys, err = k.mine(ctx, k.db)
		}
	}
	if err != nil {
		return key{}, err
	}
	if len(keys) == 0 {
		return key{}, errors.New("the signing key was retired the moment it was made")
	}
	return keys[0], nil
}

// mine returns the keys that may sign, the one to sign with first.
func (k *Keys) mine(ctx context.Context, db sqlx.QueryerContext) ([]key, error) {
	const q = `
		select id, private_sealed, retired_at is null and not ` + old + ` as goes_on
		  from signing_keys where retired_at is null or retired_at > now()
		 order by greatest(created_at, now() - ` + overlap + `), created_at desc, id`
	var rows, mine []key
	if err := sqlx.SelectContext(ctx, db, &rows, q, k.lifetime.Seconds()); err != nil {
		return nil, fmt.Errorf("looking up the signing keys: %w", err)
	}
	for _, row := range rows {
		// One that does not open was sealed under a key that has left our ring; those who still have it may go on.
		if seed, err := k.ring.Open(keyring.SigningKeys, row.ID.String(), row.Sealed); err == nil && len(seed) == ed25519.SeedSize {
			row.private = ed25519.NewKeyFromSeed(seed)
			mine = append(mine, row)
		}
	}
	return mine, nil
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
