package pin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/slowhash"
)

// ErrUnknownKey means that a stored verifier names a pepper key that is not on the keyring.
var ErrUnknownKey = fault.New(fault.Unavailable, "pin_key_missing", "PINs cannot be checked at the moment").RetryAfter(time.Minute)

// hasher computes verifiers: Argon2id over HMAC-SHA-256(pepper, holder id ‖ PIN). The pepper protects a stolen database: a
// slow hash alone delays the search for a 4-digit PIN by minutes only. The holder's id prevents moving a verifier to another
// row.
type hasher struct {
	ring *keyring.Ring
	pool *slowhash.Pool
}

// hash reserves a place for tenant and returns the verifier of a PIN.
func (h hasher) hash(ctx context.Context, tenant, holder uuid.UUID, p PIN) (string, error) {
	peppered, err := h.pepper(h.ring.Current(), holder, p)
	if err != nil {
		return "", err
	}
	return h.pool.Hash(ctx, tenant, peppered, h.ring.Current())
}

// rehash is hash for a caller that holds a place.
func (h hasher) rehash(ctx context.Context, place slowhash.Place, holder uuid.UUID, p PIN) (string, error) {
	peppered, err := h.pepper(h.ring.Current(), holder, p)
	if err != nil {
		return "", err
	}
	return place.Hash(ctx, peppered, h.ring.Current())
}

func (h hasher) matches(ctx context.Context, place slowhash.Place, holder uuid.UUID, candidate PIN, verifier string) (bool, error) {
	keyID, err := slowhash.KeyID(verifier)
	if err != nil {
		return false, err
	}
	peppered, err := h.pepper(keyID, holder, candidate)
	if err != nil {
		return false, err
	}
	return place.Matches(ctx, peppered, verifier)
}

// canCheck returns ErrUnknownKey when the pepper key of a verifier is missing.
func (h hasher) canCheck(verifier string) error {
	keyID, err := slowhash.KeyID(verifier)
	if err != nil {
		return err
	}
	_, err = h.pepper(keyID, uuid.Nil, PIN{})
	return err
}

func (h hasher) outdated(verifier string) bool { return slowhash.Outdated(verifier, h.ring.Current()) }

func (h hasher) pepper(keyID string, holder uuid.UUID, p PIN) ([]byte, error) {
	key, err := h.ring.Subkey(keyID, keyring.Pepper)
	if err != nil {
		return nil, fmt.Errorf("%w: key %q: %w", ErrUnknownKey, keyID, err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(holder[:])
	mac.Write([]byte(p.Reveal()))
	return mac.Sum(nil), nil
}

// CountByKey counts the PINs by the id of their pepper's key in PIN_KEYS. PINs without a key id are counted under the empty id.
func CountByKey(ctx context.Context, db sqlx.QueryerContext) (map[string]int, error) {
	const q = `
		select coalesce(substring(verifier from 'keyid=([^$,]+)'), '') as key, count(*) as count
		  from pin_holders where verifier is not null group by 1`
	var rows []struct {
		Key   string `db:"key"`
		Count int    `db:"count"`
	}
	if err := sqlx.SelectContext(ctx, db, &rows, q); err != nil {
		return nil, fmt.Errorf("counting PINs: %w", err)
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.Key] = row.Count
	}
	return counts, nil
}
