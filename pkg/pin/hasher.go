package pin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/slowhash"
)

// hasher turns PINs into verifiers: Argon2id over HMAC-SHA-256(pepper, holder id ‖ PIN). The pepper is the control, for a
// 4-digit PIN falls to any slow hash within minutes; the holder's id keeps a verifier from being moved to another row.
type hasher struct {
	ring *keyring.Ring
	pool *slowhash.Pool
}

func (h hasher) hash(ctx context.Context, holder uuid.UUID, p PIN) (string, error) {
	peppered, err := h.pepper(h.ring.Current(), holder, p)
	if err != nil {
		return "", err
	}
	return h.pool.Hash(ctx, peppered, h.ring.Current())
}

func (h hasher) matches(ctx context.Context, holder uuid.UUID, candidate PIN, verifier string) (bool, error) {
	keyID, err := slowhash.KeyID(verifier)
	if err != nil {
		return false, err
	}
	peppered, err := h.pepper(keyID, holder, candidate)
	if err != nil {
		return false, err
	}
	return h.pool.Matches(ctx, peppered, verifier)
}

// canCheck returns ErrUnknownKey for a verifier that no candidate can be compared with.
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
