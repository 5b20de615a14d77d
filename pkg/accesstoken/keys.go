package accesstoken

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/caller"
)

const (
	// keyTTL is how long a public key is cached. A deleted key stops working after this time.
	keyTTL = 5 * time.Minute
	// unknownTTL is how long an unknown key id is cached as unknown. Key ids are random, so no request names the id of a
	// key before that key exists.
	unknownTTL = 10 * time.Second
	// readInterval is the least time between two reads of the database. While a client sends random key ids, a request with
	// a new key waits at most this long for the read.
	readInterval = 100 * time.Millisecond
	// maxUnknown limits the memory for unknown key ids.
	maxUnknown = 1000
)

// keyCache caches the public signing keys. There are few keys, so each read reads all of them. An unknown key id costs at
// most one database read, which concurrent requests share, and evicts no valid key.
type keyCache struct {
	db *sqlx.DB
	// reading has capacity 1. A goroutine puts a value into it before it reads the database.
	reading chan struct{}

	mu      sync.Mutex
	known   map[uuid.UUID]ed25519.PublicKey
	unknown map[uuid.UUID]time.Time
	// readStarted is the start of the last read, and readErr is its error. knownAt is the start of the last read that
	// succeeded: the read that filled known.
	readStarted, knownAt time.Time
	readErr              error
}

func newKeyCache(db *sqlx.DB) *keyCache {
	return &keyCache{db: db, reading: make(chan struct{}, 1), unknown: map[uuid.UUID]time.Time{}}
}

// find returns the key with an id. It returns caller.ErrInvalid when there is no such key, and the database error when the
// keys cannot be read.
func (c *keyCache) find(ctx context.Context, keyID string) (ed25519.PublicKey, error) {
	id, err := uuid.Parse(keyID)
	if err != nil {
		return nil, caller.ErrInvalid
	}
	now := time.Now()
	key, err := c.cached(id, now)
	if !errors.Is(err, errNotCached) {
		return key, err
	}
	select {
	case c.reading <- struct{}{}:
		defer func() { <-c.reading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the signing keys: %w", ctx.Err())
	}
	if !c.readSince(now) {
		c.read(context.WithoutCancel(ctx)) // other requests wait for this read too
	}
	return c.lastRead(id)
}

// errNotCached tells find to read the database.
var errNotCached = errors.New("the key id is not cached")

func (c *keyCache) cached(id uuid.UUID, now time.Time) (ed25519.PublicKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := c.known[id]; key != nil && now.Sub(c.knownAt) < keyTTL {
		return key, nil
	}
	if at, ok := c.unknown[id]; ok && now.Sub(at) < unknownTTL {
		return nil, caller.ErrInvalid
	}
	return nil, errNotCached
}

// readSince reports whether a read started after t.
func (c *keyCache) readSince(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readStarted.After(t)
}

// read reads all keys. The caller must have put a value into reading.
func (c *keyCache) read(ctx context.Context) {
	time.Sleep(time.Until(c.readStarted.Add(readInterval)))
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var rows []struct {
		ID  uuid.UUID `db:"id"`
		Key []byte    `db:"public_key"`
	}
	err := c.db.SelectContext(ctx, &rows, `select id, public_key from signing_keys order by created_at desc limit 1000`)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readStarted, c.readErr = started, err; err != nil {
		return
	}
	c.knownAt, c.known = started, map[uuid.UUID]ed25519.PublicKey{}
	for _, row := range rows {
		c.known[row.ID] = row.Key
	}
}

// lastRead answers from the last read, and caches an id that this read did not return.
func (c *keyCache) lastRead(id uuid.UUID) (ed25519.PublicKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readErr != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", c.readErr)
	}
	if key := c.known[id]; key != nil {
		return key, nil
	}
	if len(c.unknown) >= maxUnknown {
		clear(c.unknown)
	}
	c.unknown[id] = c.readStarted
	return nil, caller.ErrInvalid
}
