package slowhash

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

func TestAHashMatchesItsSecretAlone(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), NewPool(2, 8)
	stored, err := pool.Hash(ctx, []byte("secret"), "one")
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1,keyid=one$") {
		t.Fatalf("%s, %v", stored, err)
	}
	for secret, want := range map[string]bool{"secret": true, "Secret": false, "": false} {
		if got, err := pool.Matches(ctx, []byte(secret), stored); got != want || err != nil {
			t.Errorf("%q: %v, %v", secret, got, err)
		}
	}
	if id, err := KeyID(stored); id != "one" || err != nil {
		t.Errorf("key id %q, %v", id, err)
	}
	if Outdated(stored, "one") || !Outdated(stored, "two") || !Outdated(strings.Replace(stored, "t=2", "t=3", 1), "one") {
		t.Error("outdated is another thing")
	}
}

// The published example of the reference implementation (argon2 -id -v 13 -m 16 -t 2 -p 1 -l 24, "password" with "somesalt").
func TestHashesOfOthersAreRead(t *testing.T) {
	t.Parallel()
	const stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if right, err := NewPool(1, 2).Matches(context.Background(), []byte("password"), stored); !right || err != nil {
		t.Errorf("%v, %v", right, err)
	}
}

func TestBrokenHashesAreRefused(t *testing.T) {
	t.Parallel()
	const good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if _, err := parsePHC(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"argon2i": {"argon2id", "argon2i"}, "an old version": {"v=19", "v=16"}, "no memory": {"m=19456", "m=0"}, "all memory": {"m=19456", "m=4294967295"},
		"no passes": {"t=2", "t=0"}, "many passes": {"t=2", "t=1000"}, "no threads": {"p=1", "p=0"}, "too many threads": {"p=1", "p=256"},
		"a plus": {"m=19456", "m=+19456"}, "a zero before": {"t=2", "t=02"}, "more": {"p=1", "p=1,x=1"}, "no salt": {"c29tZXNhbHRzb21lc2FsdA", ""},
		"padding": {"c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHRzb21lc2FsdA=="}, "a short sum": {"CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "CTFh"},
	} {
		if _, err := NewPool(1, 2).Matches(context.Background(), nil, strings.Replace(good, change[0], change[1], 1)); !errors.Is(err, ErrPHC) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlacesAreSharedFairly(t *testing.T) {
	t.Parallel()
	pool, loud, quiet := NewPool(2, 16), uuid.New(), uuid.New()
	var leave []func()
	for {
		release, err := pool.Reserve(loud)
		if errors.Is(err, ErrBusy) {
			break
		}
		leave = append(leave, release)
	}
	if len(leave) != 8 {
		t.Errorf("alone, one tenant got %d places of 16, want half", len(leave))
	}
	release, err := pool.Reserve(quiet)
	if err != nil {
		t.Fatalf("no place was left for another: %v", err)
	}
	release()
	for _, l := range leave {
		l()
		l() // twice is once
	}
	if pool.total != 0 || len(pool.taken) != 0 {
		t.Errorf("%d places are still taken", pool.total)
	}
}

func TestThereIsRoomForTheNextTenant(t *testing.T) {
	t.Parallel()
	pool := NewPool(2, 32)
	for tenant := range 5 {
		id := uuid.New()
		if _, err := pool.Reserve(id); err != nil {
			t.Fatalf("tenant %d found no place", tenant)
		}
		for {
			if _, err := pool.Reserve(id); err != nil {
				break
			}
		}
	}
}

func TestPlacesSurviveAStorm(t *testing.T) {
	t.Parallel()
	pool, tenants := NewPool(2, 16), []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 200 {
				if release, err := pool.Reserve(tenants[i%3]); err == nil {
					release()
				}
			}
		})
	}
	wg.Wait()
	if pool.total != 0 || len(pool.taken) != 0 {
		t.Errorf("%d places are still taken", pool.total)
	}
}

func TestWaitingForAPermitEnds(t *testing.T) {
	t.Parallel()
	pool := NewPool(1, 2)
	pool.permits <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := pool.Hash(ctx, []byte("x"), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
