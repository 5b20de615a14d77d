package caller

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

const (
	// keyTime is how long the keys are taken for what they were, so that one that was deleted stops opening.
	keyTime = 5 * time.Minute
	// missTime is how long an id that named no key is taken for that. Ids are random: nobody asks for a key's before it is.
	missTime = 10 * time.Second
	// readEvery is the least time between two looks at the database, and so the longest that somebody with a new key waits
	// for one while others make ids up.
	readEvery = 100 * time.Millisecond
	// maxMissed bounds the memory for ids that named no key.
	maxMissed = 1000
)

// publicKeys are the keys by which access tokens are checked. They are few, and read all at once: an id that is not among
// them costs one look, which all who ask at that moment share, and no made-up id ever pushes out a true one.
type publicKeys struct {
	db *sqlx.DB
	// reading is held by who looks at the database.
	reading chan struct{}

	mu     sync.Mutex
	known  map[uuid.UUID]ed25519.PublicKey
	missed map[uuid.UUID]time.Time
	// began is when the last look did, readAt when the one did that known came of; failed is why the last one found nothing.
	began, readAt time.Time
	failed        error
}

func newPublicKeys(db *sqlx.DB) *publicKeys {
	return &publicKeys{db: db, reading: make(chan struct{}, 1), missed: map[uuid.UUID]time.Time{}}
}

// find returns a key by its id, ErrInvalid when there is none, or what kept us from looking.
func (k *publicKeys) find(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	id, err := uuid.Parse(kid)
	if err != nil {
		return nil, ErrInvalid
	}
	asked := time.Now()
	key, err := k.remembered(id, asked)
	if !errors.Is(err, errLook) {
		return key, err
	}
	select {
	case k.reading <- struct{}{}:
		defer func() { <-k.reading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the signing keys: %w", ctx.Err())
	}
	if !k.lookedSince(asked) {
		k.look(context.WithoutCancel(ctx)) // for all who wait
	}
	return k.found(id)
}

// errLook says that the database must be asked. It stays in here.
var errLook = errors.New("not known by heart")

func (k *publicKeys) remembered(id uuid.UUID, now time.Time) (ed25519.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.known[id]; key != nil && now.Sub(k.readAt) < keyTime {
		return key, nil
	}
	if at, ok := k.missed[id]; ok && now.Sub(at) < missTime {
		return nil, ErrInvalid
	}
	return nil, errLook
}

// lookedSince reports whether a look began after somebody asked, and so answers that question too.
func (k *publicKeys) lookedSince(asked time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.began.After(asked)
}

// look reads the keys. Only who holds reading may.
func (k *publicKeys) look(ctx context.Context) {
	time.Sleep(time.Until(k.began.Add(readEvery)))
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var rows []struct {
		ID  uuid.UUID `db:"id"`
		Key []byte    `db:"public_key"`
	}
	err := k.db.SelectContext(ctx, &rows, `select id, public_key from signing_keys order by created_at desc limit 1000`)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.began, k.failed = began, err; err != nil {
		return
	}
	k.readAt, k.known = began, map[uuid.UUID]ed25519.PublicKey{}
	for _, row := range rows {
		k.known[row.ID] = row.Key
	}
}

// found answers by the last look, and notes what it did not find.
func (k *publicKeys) found(id uuid.UUID) (ed25519.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", k.failed)
	}
	if key := k.known[id]; key != nil {
		return key, nil
	}
	if len(k.missed) >= maxMissed {
		clear(k.missed)
	}
	k.missed[id] = k.began
	return nil, ErrInvalid
}
