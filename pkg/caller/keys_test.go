package caller

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

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// keyStore is a database whose table of signing keys counts who looks at it.
type keyStore struct {
	t     *testing.T
	owner *sqlx.DB
	keys  *publicKeys
}

func newKeyStore(t *testing.T) *keyStore {
	t.Helper()
	database := storetest.Postgres(t)
	s := &keyStore{t, database.Open(t, ""), newPublicKeys(database.Open(t, schema.RolePinAdmin))}
	s.exec(`alter table signing_keys rename to kept`)
	s.exec(`create sequence looks`)
	s.exec(`create view signing_keys as select * from kept where (select nextval('looks')) > 0`)
	s.exec(`grant select on signing_keys, looks to ` + schema.RolePinAdmin)
	s.exec(`grant usage on looks to ` + schema.RolePinAdmin)
	return s
}

func (s *keyStore) exec(q string, args ...any) {
	s.t.Helper()
	if _, err := s.owner.Exec(q, args...); err != nil {
		s.t.Fatalf("%s: %v", q, err)
	}
}

func (s *keyStore) looks() (n int) {
	s.t.Helper()
	if err := s.owner.Get(&n, `select case when is_called then last_value else 0 end from looks`); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *keyStore) put(id uuid.UUID) {
	s.t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	s.exec(`insert into kept (id, public_key, private_sealed) values ($1, $2, '')`, id, []byte(public))
}

// want looks for a key that there is, or is not.
func (s *keyStore) want(id uuid.UUID, there bool) {
	s.t.Helper()
	if key, err := s.keys.find(context.Background(), id.String()); (err == nil) != there || there != (len(key) == ed25519.PublicKeySize) || !there && !errors.Is(err, ErrInvalid) {
		s.t.Errorf("found %v: %v", key, err)
	}
}

// later lets time pass for what is remembered.
func (s *keyStore) later(d time.Duration) {
	s.keys.began, s.keys.readAt = s.keys.began.Add(-d), s.keys.readAt.Add(-d)
	for id, at := range s.keys.missed {
		s.keys.missed[id] = at.Add(-d)
	}
}

func TestAKeyIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	first, second, unknown := uuid.New(), uuid.New(), uuid.New()
	s.put(first)
	s.put(second)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() { s.want(first, true); s.want(second, true) })
	}
	wait.Wait()
	begun := s.looks()
	for range 50 {
		wait.Go(func() { s.want(unknown, false) })
	}
	wait.Wait()
	for range 50 {
		s.want(unknown, false)
		s.want(first, true)
	}
	// Those who ask while a look is under way share the one after it.
	if n := s.looks(); begun > 2 || n-begun > 2 {
		t.Errorf("%d looks for two keys, %d for an id that is none", begun, n-begun)
	}
}

func TestMadeUpKeysPushNoneOutAndCostLittle(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	key, late := uuid.New(), uuid.New()
	s.put(key)
	s.want(key, true)
	s.want(late, false)
	began, before := time.Now(), s.looks()
	var wait sync.WaitGroup
	for range 3 * maxMissed {
		wait.Go(func() { s.want(uuid.New(), false) })
	}
	wait.Wait()
	looks, most := s.looks()-before, int(time.Since(began)/readEvery)+1
	if looks > most {
		t.Errorf("%d looks in the time for %d", looks, most)
	}
	if len(s.keys.missed) > maxMissed {
		t.Errorf("%d ids are remembered", len(s.keys.missed))
	}
	before = s.looks()
	s.want(key, true)
	if s.looks() != before {
		t.Error("a true key was forgotten")
	}
}

func TestANewKeyIsFoundAlthoughItWasAskedForBefore(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	key, other := uuid.New(), uuid.New()
	s.want(key, false)
	s.put(key)
	s.want(key, false) // it was looked up
	s.later(missTime)
	s.want(key, true)
	s.put(other) // whose id nobody has asked for
	s.want(other, true)
	// One that was deleted stops opening after a while.
	s.exec(`delete from kept where id = $1`, key)
	s.want(key, true)
	s.later(keyTime)
	s.want(key, false)
	s.want(other, true)
}

func TestWithoutADatabaseNoKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := newKeyStore(t)
	known, unknown := uuid.New(), uuid.New()
	s.put(known)
	s.want(known, true)
	s.exec(`revoke select on signing_keys from ` + schema.RolePinAdmin)
	if _, err := s.keys.find(context.Background(), unknown.String()); err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown key without a database: %v", err)
	}
	s.want(known, true)
	s.exec(`grant select on signing_keys to ` + schema.RolePinAdmin)
	s.want(unknown, false)
}
