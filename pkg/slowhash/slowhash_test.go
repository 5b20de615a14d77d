package slowhash

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// newPlace returns a place in a pool that runs one hash at a time.
func newPlace(t *testing.T) Place {
	t.Helper()
	place, err := NewPool(1, 2).Reserve(uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func TestHashMatchesOnlyItsSecret(t *testing.T) {
	t.Parallel()
	ctx, place := context.Background(), newPlace(t)
	stored, err := place.Hash(ctx, []byte("secret"), "one")
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1,keyid=one$") {
		t.Fatalf("%s, %v", stored, err)
	}
	for secret, want := range map[string]bool{"secret": true, "Secret": false, "": false} {
		if got, err := place.Matches(ctx, []byte(secret), stored); got != want || err != nil {
			t.Errorf("%q: %v, %v", secret, got, err)
		}
	}
	if id, err := KeyID(stored); id != "one" || err != nil {
		t.Errorf("key id %q, %v", id, err)
	}
	if Outdated(stored, "one") || !Outdated(stored, "two") || !Outdated(strings.Replace(stored, "t=2", "t=3", 1), "one") {
		t.Error("Outdated must report another key id and other parameters, and nothing else")
	}
}

func TestHashLikeTakesSaltAndParametersOfTheStoredHash(t *testing.T) {
	t.Parallel()
	ctx, place := context.Background(), newPlace(t)
	first, err := place.Hash(ctx, []byte("secret"), "one")
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]bool{"secret": true, "another": false} {
		got, err := place.HashLike(ctx, []byte(secret), first)
		if err != nil || Equal(got, first) != want || !Alike(got, first) {
			t.Errorf("%q: %s for %s, %v", secret, got, first, err)
		}
	}
	if other, err := place.Hash(ctx, []byte("secret"), "one"); err != nil || Alike(other, first) || Equal(other, first) {
		t.Errorf("two salts are alike: %v", err)
	}
	if _, err := place.HashLike(ctx, []byte("secret"), "malformed"); !errors.Is(err, ErrPHC) {
		t.Errorf("got %v", err)
	}
}

// The example comes from the reference implementation (argon2 -id -v 13 -m 16 -t 2 -p 1, "password" with "somesalt").
func TestHashOfTheReferenceImplementationMatches(t *testing.T) {
	t.Parallel()
	const stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if right, err := newPlace(t).Matches(context.Background(), []byte("password"), stored); !right || err != nil {
		t.Errorf("%v, %v", right, err)
	}
}

func TestMalformedHashesAreRefused(t *testing.T) {
	t.Parallel()
	const valid = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if _, err := parsePHC(valid); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"argon2i": {"argon2id", "argon2i"}, "an old version": {"v=19", "v=16"}, "no memory": {"m=19456", "m=0"}, "too much memory": {"m=19456", "m=4294967295"},
		"no passes": {"t=2", "t=0"}, "too many passes": {"t=2", "t=1000"}, "no threads": {"p=1", "p=0"}, "too many threads": {"p=1", "p=256"},
		"a plus sign": {"m=19456", "m=+19456"}, "a leading zero": {"t=2", "t=02"}, "an unknown parameter": {"p=1", "p=1,x=1"}, "no salt": {"c29tZXNhbHRzb21lc2FsdA", ""},
		"padding": {"c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHRzb21lc2FsdA=="}, "a short hash": {"CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "CTFh"},
	} {
		if _, err := newPlace(t).Matches(context.Background(), nil, strings.Replace(valid, change[0], change[1], 1)); !errors.Is(err, ErrPHC) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlacesAreSharedFairly(t *testing.T) {
	t.Parallel()
	pool, busy, quiet := NewPool(2, 16), uuid.New(), uuid.New()
	var places []Place
	for {
		place, err := pool.Reserve(busy)
		if errors.Is(err, ErrBusy) {
			break
		}
		places = append(places, place)
	}
	if len(places) != 8 {
		t.Errorf("the only tenant got %d of 16 places, want half", len(places))
	}
	place, err := pool.Reserve(quiet)
	if err != nil {
		t.Fatalf("another tenant got no place: %v", err)
	}
	place.Release()
	for _, place := range places {
		place.Release()
		place.Release() // does nothing
	}
	if pool.total != 0 || len(pool.taken) != 0 {
		t.Errorf("%d places are still taken", pool.total)
	}
}

func TestNextTenantFindsAPlace(t *testing.T) {
	t.Parallel()
	pool := NewPool(2, 32)
	for tenant := range 5 {
		id := uuid.New()
		if _, err := pool.Reserve(id); err != nil {
			t.Fatalf("tenant %d got no place", tenant)
		}
		for {
			if _, err := pool.Reserve(id); err != nil {
				break
			}
		}
	}
}

func TestPlacesUnderConcurrency(t *testing.T) {
	t.Parallel()
	pool, tenants := NewPool(2, 16), []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 200 {
				if place, err := pool.Reserve(tenants[i%3]); err == nil {
					place.Release()
				}
			}
		})
	}
	wg.Wait()
	if pool.total != 0 || len(pool.taken) != 0 {
		t.Errorf("%d places are still taken", pool.total)
	}
}

func TestWaitForAPermitEndsWithTheContext(t *testing.T) {
	t.Parallel()
	pool := NewPool(1, 2)
	pool.permits <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := pool.Hash(ctx, uuid.Nil, []byte("x"), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
