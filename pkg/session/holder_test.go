package session_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestAHoldersList(t *testing.T) {
	t.Parallel()
	options, err := redis.ParseURL(storetest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options) // and not the services', which gives up early
	t.Cleanup(func() { client.Close() })
	store, ctx := session.Store{Redis: client}, t.Context()
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
		t.Errorf("the list lives for %s, want as long as its longest session", ttl)
	}
	if count() != 0 || count(holder) != 2 || count(holder, other, uuid.New()) != 3 {
		t.Error("lists of none, of one holder and of three")
	}
	// A session that is gone is not found; one that has run out is also taken off the list, with the next that is stored.
	client.ZAdd(ctx, list, redis.Z{Score: float64(time.Now().Add(-time.Second).UnixMilli()), Member: "pin:{" + holder.String() + "}:session:old"})
	if count(holder) != 2 {
		t.Error("an ended session was found")
	}
	create(holder, time.Minute)
	if n := client.ZCard(ctx, list).Val(); n != 3 {
		t.Errorf("%d on the list, want 3", n)
	}
	if err := store.Delete(ctx, uuid.Nil, long); err != nil || count(holder) != 2 || client.ZCard(ctx, list).Val() != 2 {
		t.Errorf("after deleting one: %v, %d", err, count(holder))
	}
	if err := store.Forget(ctx, []uuid.UUID{holder, uuid.New()}); err != nil || count(holder) != 0 || count(other) != 1 {
		t.Errorf("after forgetting a holder's: %v", err)
	}
	if n := client.Exists(ctx, list).Val(); n != 0 {
		t.Error("an empty list stays")
	}
}
