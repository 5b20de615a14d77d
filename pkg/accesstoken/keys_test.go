package accesstoken

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// keyStore is a database that counts the reads of the table signing_keys: a view replaces the table, and each read of the
// view increments a sequence.
type keyStore struct {
	t     *testing.T
	owner *sqlx.DB
	cache *keyCache
}

func newKeyStore(t *testing.T) *keyStore {
	t.Helper()
	database := storetest.Postgres(t)
	s := &keyStore{t, database.Open(t, ""), newKeyCache(database.Open(t, schema.RolePinAdmin))}
	s.exec(`alter table signing_keys rename to stored_keys`)
	s.exec(`create sequence read_count`)
	s.exec(`create view signing_keys as select * from stored_keys where (select nextval('read_count')) > 0`)
	s.exec(`grant select on signing_keys, read_count to ` + schema.RolePinAdmin)
	s.exec(`grant usage on read_count to ` + schema.RolePinAdmin)
	return s
}

func (s *keyStore) exec(q string, args ...any) {
	s.t.Helper()
	if _, err := s.owner.Exec(q, args...); err != nil {
		s.t.Fatalf("%s: %v", q, err)
	}
}

func (s *keyStore) reads() (n int) {
	s.t.Helper()
	if err := s.owner.Get(&n, `select case when is_called then last_value else 0 end from read_count`); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *keyStore) add(id uuid.UUID) {
	s.t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	s.exec(`insert into stored_keys (id, public_key, private_sealed) values ($1, $2, '')`, id, []byte(public))
}

func (s *keyStore) wantKnown(id uuid.UUID) {
	s.t.Helper()
	if key, err := s.cache.find(context.Background(), id.String()); err != nil || len(key) != ed25519.PublicKeySize {
		s.t.Errorf("a known key id: key %v, error %v", key, err)
	}
}

func (s *keyStore) wantUnknown(id uuid.UUID) {
	s.t.Helper()
	if key, err := s.cache.find(context.Background(), id.String()); !errors.Is(err, caller.ErrInvalid) || len(key) != 0 {
		s.t.Errorf("an unknown key id: key %v, error %v", key, err)
	}
}

// age makes everything in the cache d older.
func (s *keyStore) age(d time.Duration) {
	s.cache.readStarted, s.cache.knownAt = s.cache.readStarted.Add(-d), s.cache.knownAt.Add(-d)
	for id, at := range s.cache.unknown {
		s.cache.unknown[id] = at.Add(-d)
	}
}

func TestConcurrentRequestsShareOneKeyRead(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	first, second, unknown := uuid.New(), uuid.New(), uuid.New()
	s.add(first)
	s.add(second)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() { s.wantKnown(first); s.wantKnown(second) })
	}
	wait.Wait()
	readsOfKnown := s.reads()
	for range 50 {
		wait.Go(func() { s.wantUnknown(unknown) })
	}
	wait.Wait()
	for range 50 {
		s.wantUnknown(unknown)
		s.wantKnown(first)
	}
	// Requests that arrive while a read runs share the read after it, so there are at most two.
	if n := s.reads(); readsOfKnown > 2 || n-readsOfKnown > 2 {
		t.Errorf("%d reads for two keys, %d reads for an unknown id", readsOfKnown, n-readsOfKnown)
	}
}

func TestUnknownKeyIDsEvictNoValidKeyAndCostFewReads(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	key, unknown := uuid.New(), uuid.New()
	s.add(key)
	s.wantKnown(key)
	s.wantUnknown(unknown)
	start, before := time.Now(), s.reads()
	var wait sync.WaitGroup
	for range 3 * maxUnknown {
		wait.Go(func() { s.wantUnknown(uuid.New()) })
	}
	wait.Wait()
	reads, most := s.reads()-before, int(time.Since(start)/readInterval)+1
	if reads > most {
		t.Errorf("%d reads, want at most %d in this time", reads, most)
	}
	if len(s.cache.unknown) > maxUnknown {
		t.Errorf("%d unknown ids are cached, want at most %d", len(s.cache.unknown), maxUnknown)
	}
	before = s.reads()
	s.wantKnown(key)
	if s.reads() != before {
		t.Error("a valid key was evicted")
	}
}

func TestNewAndDeletedKeysAreNoticed(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	key, other := uuid.New(), uuid.New()
	s.wantUnknown(key)
	s.add(key)
	s.wantUnknown(key) // cached as unknown
	s.age(unknownTTL)
	s.wantKnown(key)
	s.add(other) // its id was never cached as unknown
	s.wantKnown(other)
	s.exec(`delete from stored_keys where id = $1`, key)
	s.wantKnown(key) // cached
	s.age(keyTTL)
	s.wantUnknown(key)
	s.wantKnown(other)
}

func TestDatabaseErrorIsNotAnInvalidToken(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	known, unknown := uuid.New(), uuid.New()
	s.add(known)
	s.wantKnown(known)
	s.exec(`revoke select on signing_keys from ` + schema.RolePinAdmin)
	if _, err := s.cache.find(context.Background(), unknown.String()); err == nil || errors.Is(err, caller.ErrInvalid) {
		t.Errorf("an uncached key id without a database: %v", err)
	}
	s.wantKnown(known)
	s.exec(`grant select on signing_keys to ` + schema.RolePinAdmin)
	s.wantUnknown(unknown)
}
