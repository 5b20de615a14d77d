// Package session remembers a verified PIN for a while. A session lives in Redis under the hash of its token and ends
// there by its TTL; whether it still counts is decided each time against what Postgres says of the PIN it rests on, so
// that a lock, a change or a removal ends it at once, whether Redis is there or not.
package session

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/token"
)

// ErrAway says that sessions can be neither listed nor changed because Redis does not answer.
var ErrAway = fault.New(fault.Unavailable, "sessions_away", "Sessions cannot be reached at the moment").RetryAfter(time.Second)

//go:embed create.lua
var createLua string

var createScript = redis.NewScript(createLua)

// Session is a confirmation: for whom, where, and on which PIN it rests.
type Session struct {
	InstanceID uuid.UUID     `json:"instance_id"`
	CustomerID uuid.UUID     `json:"customer_id"`
	IdentityID uuid.NullUUID `json:"identity_id"`
	// HolderID and Generation name the PIN and its state: every set, removal and lock makes a new generation.
	HolderID   uuid.UUID `json:"holder_id"`
	Generation uuid.UUID `json:"generation"`
	// IssuedAt is by Postgres's clock.
	IssuedAt time.Time     `json:"issued_at"`
	TTL      time.Duration `json:"ttl"`
}

// ExpiresAt is when the session ends under a policy that allows ttl now: a policy that became stricter counts at once,
// one that became laxer does not prolong.
func (s Session) ExpiresAt(ttl time.Duration) time.Time { return s.IssuedAt.Add(min(s.TTL, ttl)) }

// Store keeps sessions in Redis. The keys of one holder carry one hash tag, so that they share a slot of a cluster.
type Store struct{ Redis redis.UniversalClient }

// Create stores a session for its TTL, lists it among its holder's and returns the token that names it. The error is
// Redis's.
func (s Store) Create(ctx context.Context, x Session) (token.Token, error) {
	t := token.New(token.Session, x.HolderID[:]...)
	value, err := json.Marshal(x)
	if err != nil {
		return token.Token{}, fmt.Errorf("encoding a session: %w", err)
	}
	keys := []string{key(t), listKey(x.HolderID)}
	if err := createScript.Run(ctx, s.Redis, keys, value, x.TTL.Milliseconds()).Err(); err != nil {
		return token.Token{}, fmt.Errorf("storing a session: %w", err)
	}
	return t, nil
}

// Find returns the session that a token names, or nil: for a malformed token, for an unknown or ended session, and while
// Redis is away. A session that cannot be found counts as absent, and the person is asked again.
func (s Store) Find(ctx context.Context, text string) *Session {
	t, err := parse(text)
	if err != nil {
		return nil
	}
	value, err := s.Redis.Get(ctx, key(t)).Bytes()
	if err != nil {
		return nil
	}
	var x Session
	if err := json.Unmarshal(value, &x); err != nil {
		return nil
	}
	return &x
}

// Delete ends the session that a token names, when it is one of this instance; otherwise it changes nothing. It returns
// ErrAway when it cannot be known that the session has ended.
func (s Store) Delete(ctx context.Context, instance uuid.UUID, text string) error {
	t, err := parse(text)
	if err != nil {
		return nil
	}
	value, err := s.Redis.Get(ctx, key(t)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: reading a session: %w", ErrAway, err)
	}
	var x Session
	if err := json.Unmarshal(value, &x); err != nil || x.InstanceID != instance {
		return nil
	}
	_, err = s.Redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Del(ctx, key(t))
		pipe.ZRem(ctx, listKey(x.HolderID), key(t))
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: deleting a session: %w", ErrAway, err)
	}
	return nil
}

func parse(text string) (token.Token, error) {
	return token.Parse(token.Session, text, len(uuid.UUID{}))
}

func key(t token.Token) string {
	return "pin:{" + uuid.UUID(t.Head()).String() + "}:session:" + hex.EncodeToString(t.Hash())
}
