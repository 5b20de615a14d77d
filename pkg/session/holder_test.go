package session_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestSessionListOfAHolder(t *testing.T) {
	t.Parallel()
	options, err := redis.ParseURL(storetest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options) // the client of the services has short timeouts
	t.Cleanup(func() { client.Close() })
	store, ctx := newStore(t, client, keyOne), t.Context()
	holder, other := uuid.New(), uuid.New()
	create := func(holder uuid.UUID, ttl time.Duration) string {
		t.Helper()
		token, err := store.Create(ctx, session.Session{HolderID: holder, IssuedAt: time.Now(), TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return token.Reveal()
	}
	count := func(holders ...uuid.UUID) int {
		t.Helper()
		found, err := store.OfHolders(ctx, holders)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	list := "pin:{" + holder.String() + "}:sessions"

	long := create(holder, time.Hour)
	create(holder, time.Minute)
	create(other, time.Hour)
	if ttl := client.PTTL(ctx, list).Val(); ttl <= time.Minute || ttl > time.Hour {
		t.Errorf("the list expires in %s, want the time of its longest session", ttl)
	}
	if count() != 0 || count(holder) != 2 || count(holder, other, uuid.New()) != 3 {
		t.Error("want 0 sessions of no holder, 2 of one holder, 3 of three holders")
	}
	// An expired session is not found. It leaves the list when the next session is stored.
	client.ZAdd(ctx, list, redis.Z{Score: float64(time.Now().Add(-time.Second).UnixMilli()), Member: "pin:{" + holder.String() + "}:session:old"})
	if count(holder) != 2 {
		t.Error("an expired session was found")
	}
	create(holder, time.Minute)
	if n := client.ZCard(ctx, list).Val(); n != 3 {
		t.Errorf("%d sessions in the list, want 3", n)
	}
	longToken, err := session.Parse(long)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(ctx, longToken); err != nil || count(holder) != 2 || client.ZCard(ctx, list).Val() != 2 {
		t.Errorf("after a deletion: %v, %d sessions", err, count(holder))
	}
	if err := store.Forget(ctx, []uuid.UUID{holder, uuid.New()}); err != nil || count(holder) != 0 || count(other) != 1 {
		t.Errorf("after Forget: %v", err)
	}
	if n := client.Exists(ctx, list).Val(); n != 0 {
		t.Error("the empty list still exists")
	}
}

// A session above the limit ends the session that expires first. Parallel sessions do not exceed the limit.
func TestSessionsOfOneHolderAreLimited(t *testing.T) {
	t.Parallel()
	client := storetest.RedisClient(t, storetest.Redis(t))
	ring, err := keyring.Parse(keyOne)
	if err != nil {
		t.Fatal(err)
	}
	const limit = 3
	store := session.NewStore(session.Config{PerHolder: limit}, client, ring, prometheus.NewRegistry())
	holder, other := uuid.New(), uuid.New()
	create := func(holder uuid.UUID, ttl time.Duration) string {
		token, err := store.Create(t.Context(), session.Session{HolderID: holder, IssuedAt: time.Now(), TTL: ttl})
		if err != nil {
			t.Error(err)
		}
		return token.Reveal()
	}
	kept := create(other, time.Minute)
	first, second, long := create(holder, time.Minute), create(holder, 2*time.Minute), create(holder, time.Hour)
	for _, next := range []struct {
		ttl  time.Duration
		live []bool // first, second, long
	}{{3 * time.Minute, []bool{false, true, true}}, {4 * time.Minute, []bool{false, false, true}}} {
		create(holder, next.ttl)
		for i, token := range []string{first, second, long} {
			if got := store.Find(t.Context(), token) != nil; got != next.live[i] {
				t.Errorf("after a session of %s: session %d is live: %v", next.ttl, i+1, got)
			}
		}
	}
	var parallel sync.WaitGroup
	for range 20 {
		parallel.Go(func() { create(holder, 2*time.Hour) })
	}
	parallel.Wait()
	found, err := store.OfHolders(t.Context(), []uuid.UUID{holder})
	keys, _ := client.Keys(t.Context(), "pin:{"+holder.String()+"}:session:*").Result()
	if err != nil || len(found) != limit || len(keys) != limit {
		t.Errorf("%d sessions, %d keys, %v, want %d", len(found), len(keys), err, limit)
	}
	if store.Find(t.Context(), kept) == nil {
		t.Error("the session of another holder ended")
	}
}
