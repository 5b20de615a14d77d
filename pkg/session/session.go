// Package session stores PIN sessions: confirmations that are valid for a while. Redis stores a session under the hash of its
// token, until the session expires, with a MAC. So a party that can write to Redis cannot make a session. Postgres decides at
// each use whether the session is still valid, from the state of the PIN that it is based on. So a lock, a change or a removal of
// the PIN ends the session at once, even while Redis is unreachable.
// The design: docs/architecture.md, section 8.
package session

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/token"
)

// ErrUnreachable means that Redis did not answer, so sessions can be neither listed nor changed.
var ErrUnreachable = fault.New(fault.Unavailable, "sessions_away", "Sessions cannot be reached at the moment").RetryAfter(time.Second)

//go:embed create.lua
var createLua string

var createScript = redis.NewScript(createLua)

// Session is a confirmation: the customer or identity who confirmed, the instance, and the PIN that the session is based on.
type Session struct {
	InstanceID uuid.UUID `json:"instance_id"`
	CustomerID uuid.UUID `json:"customer_id"`
	// IdentityID is null if the customer was confirmed without an identity.
	IdentityID uuid.NullUUID `json:"identity_id"`
	// HolderID is the holder of the PIN, and Generation its session generation. Each set, removal and lock of the PIN renews
	// the session generation.
	HolderID   uuid.UUID `json:"holder_id"`
	Generation uuid.UUID `json:"generation"`
	// IssuedAt is by Postgres's clock.
	IssuedAt time.Time     `json:"issued_at"`
	TTL      time.Duration `json:"ttl"`
	// Hash is the SHA-256 of the session's token. It is null for a session that is not stored.
	Hash []byte `json:"-"`
}

// ExpiresAt returns the end of the session under a policy that now allows ttl. If the policy became stricter, the session ends
// earlier. If the policy became less strict, the session does not become longer.
func (s Session) ExpiresAt(ttl time.Duration) time.Time { return s.IssuedAt.Add(min(s.TTL, ttl)) }

// Store stores sessions in Redis. The keys of one holder have the same hash tag, so they are in one slot of a Redis Cluster.
type Store struct {
	config Config
	redis  redis.UniversalClient
	keys   *keyring.Ring
	void   *prometheus.CounterVec
}

// Config is the part of a service's settings that concerns sessions.
type Config struct {
	// PerHolder is the largest number of live sessions that are based on the PIN of one holder: 1 to 1000.
	PerHolder int `envconfig:"PIN_SESSIONS_PER_HOLDER"`
}

// DefaultConfig is the Config of a deployment that sets no other.
var DefaultConfig = Config{PerHolder: 20}

// Validate returns an error that names the setting that is wrong.
func (c Config) Validate() error {
	if c.PerHolder < 1 || c.PerHolder > 1000 {
		return errors.New("PIN_SESSIONS_PER_HOLDER must be 1 to 1000")
	}
	return nil
}

// NewStore returns a Store and registers its metrics. keys is the keyring of PINs.
func NewStore(c Config, client redis.UniversalClient, keys *keyring.Ring, registry prometheus.Registerer) *Store {
	void := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pin_sessions_void_total",
		Help: "Sessions from Redis that count as absent: unknown_key (the key of their MAC is not in PIN_KEYS), forged (their MAC is missing or wrong)."}, []string{"reason"})
	for _, reason := range []string{"unknown_key", "forged"} {
		void.WithLabelValues(reason)
	}
	registry.MustRegister(void)
	return &Store{c, client, keys, void}
}

// encode returns the value of a session for its key in Redis.
func (s *Store) encode(key string, x Session) ([]byte, error) {
	text, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	return s.keys.Sign(keyring.PINSessions, key, text)
}

// decode returns the session that Redis has under a key, or nil if this program did not store it there.
func (s *Store) decode(key string, value []byte) *Session {
	text, err := s.keys.Verify(keyring.PINSessions, key, value)
	var x Session
	if err == nil {
		err = json.Unmarshal(text, &x)
	}
	if err == nil {
		x.Hash, err = hex.DecodeString(key[strings.LastIndex(key, ":")+1:])
	}
	switch {
	case errors.Is(err, keyring.ErrUnknownKey):
		s.void.WithLabelValues("unknown_key").Inc()
		return nil
	case err != nil:
		s.void.WithLabelValues("forged").Inc()
		return nil
	}
	return &x
}

// Create stores a session for its TTL, adds it to the list of its holder, and returns the session's token. If the holder would
// then have too many sessions, the sessions that expire first end. It returns ErrUnreachable.
func (s *Store) Create(ctx context.Context, x Session) (token.Token, error) {
	t := token.New(token.Session, x.HolderID[:]...)
	if err := s.Put(ctx, t, x, x.TTL); err != nil {
		return token.Token{}, err
	}
	return t, nil
}

// Put stores a session under a token whose head is the holder, and keeps it for keep: at least 1 ms, and less than the TTL if the
// session was issued earlier. Otherwise it does what Create does. A session that is stored under this token already is replaced,
// and no other session ends. Put returns ErrUnreachable.
func (s *Store) Put(ctx context.Context, t token.Token, x Session, keep time.Duration) error {
	value, err := s.encode(key(t), x)
	if err != nil {
		return fmt.Errorf("encoding a session: %w", err)
	}
	keys := []string{key(t), listKey(x.HolderID)}
	if err := createScript.Run(ctx, s.redis, keys, value, max(keep.Milliseconds(), 1), s.config.PerHolder).Err(); err != nil {
		return fmt.Errorf("%w: storing a session: %w", ErrUnreachable, err)
	}
	return nil
}

// Parse parses the text of a session token. It returns token.ErrMalformed.
func Parse(text string) (token.Token, error) {
	return token.Parse(token.Session, text, len(uuid.UUID{}))
}

// HolderOf returns the holder of the PIN that the session of a token is based on.
func HolderOf(t token.Token) uuid.UUID { return uuid.UUID(t.Head()) }

// Find returns the session of a token. It returns nil if the token is malformed, if the session is unknown or has expired, if
// its MAC is wrong, and if Redis is unreachable: then the person must confirm again.
func (s *Store) Find(ctx context.Context, text string) *Session {
	t, err := Parse(text)
	if err != nil {
		return nil
	}
	x, _ := s.Get(ctx, t)
	return x
}

// Get returns the session of a token. It returns nil if the session is unknown or has expired, or if its MAC is wrong. It returns
// ErrUnreachable if Redis does not answer.
func (s *Store) Get(ctx context.Context, t token.Token) (*Session, error) {
	value, err := s.redis.Get(ctx, key(t)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading a session: %w", ErrUnreachable, err)
	}
	return s.decode(key(t), value), nil
}

// Delete deletes the session of a token. It returns ErrUnreachable if the session may still exist.
func (s *Store) Delete(ctx context.Context, t token.Token) error {
	_, err := s.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Del(ctx, key(t))
		pipe.ZRem(ctx, listKey(HolderOf(t)), key(t))
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: deleting a session: %w", ErrUnreachable, err)
	}
	return nil
}

func key(t token.Token) string {
	return "pin:{" + HolderOf(t).String() + "}:session:" + hex.EncodeToString(t.Hash())
}
