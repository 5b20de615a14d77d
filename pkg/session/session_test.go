package session_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

const (
	keyOne = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyTwo = "two:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
)

func newStore(t *testing.T, client redis.UniversalClient, keys string) *session.Store {
	t.Helper()
	ring, err := keyring.Parse(keys)
	if err != nil {
		t.Fatal(err)
	}
	return session.NewStore(session.DefaultConfig, client, ring, prometheus.NewRegistry())
}

// stored is a session, its token, and its key in Redis.
type stored struct {
	session session.Session
	token   string
	key     string
}

func create(t *testing.T, client redis.UniversalClient, store *session.Store) stored {
	t.Helper()
	x := session.Session{InstanceID: uuid.New(), CustomerID: uuid.New(), HolderID: uuid.New(), Generation: uuid.New(), IssuedAt: time.Now(), TTL: time.Hour}
	token, err := store.Create(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := client.ZRange(t.Context(), "pin:{"+x.HolderID.String()+"}:sessions", 0, -1).Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d sessions of a new holder, %v", len(keys), err)
	}
	return stored{x, token.Reveal(), keys[0]}
}

// A party that can write to Redis, for example with the administrator's password, knows every id.
func TestForgedSessionCountsAsAbsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// value makes the value that the intruder writes for a session. other is another session that Redis has.
		value func(x stored, value, other []byte) []byte
	}{
		{"JSON without a MAC", func(x stored, _, _ []byte) []byte { plain, _ := json.Marshal(x.session); return plain }},
		{"a value of another session", func(_ stored, _, other []byte) []byte { return other }},
		{"a longer time", func(x stored, value, _ []byte) []byte {
			x.session.TTL = 24 * time.Hour
			longer, _ := json.Marshal(x.session)
			return append(value[:len("one:")+32:len("one:")+32], longer...)
		}},
		{"a changed MAC", func(_ stored, value, _ []byte) []byte { value[len("one:")] ^= 1; return value }},
		{"a MAC under another key", func(x stored, _, _ []byte) []byte {
			ring, _ := keyring.Parse("one:" + keyTwo[len("two:"):])
			plain, _ := json.Marshal(x.session)
			forged, _ := ring.Sign(keyring.PINSessions, x.key, plain)
			return forged
		}},
		{"a MAC for another purpose", func(x stored, _, _ []byte) []byte {
			ring, _ := keyring.Parse(keyOne)
			plain, _ := json.Marshal(x.session)
			forged, _ := ring.Sign(keyring.AuditCursor, x.key, plain)
			return forged
		}},
		{"nothing", func(stored, []byte, []byte) []byte { return nil }},
		{"a MAC that is cut off", func(_ stored, value, _ []byte) []byte { return value[:20] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, client := t.Context(), storetest.RedisClient(t, storetest.Redis(t))
			registry := prometheus.NewRegistry()
			ring, err := keyring.Parse(keyOne)
			if err != nil {
				t.Fatal(err)
			}
			store := session.NewStore(session.DefaultConfig, client, ring, registry)
			x, other := create(t, client, store), create(t, client, store)
			if store.Find(ctx, x.token) == nil {
				t.Fatal("the session is absent before the intrusion")
			}
			forged := c.value(x, bytesAt(t, client, x.key), bytesAt(t, client, other.key))
			if err := client.Set(ctx, x.key, forged, time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
			if store.Find(ctx, x.token) != nil {
				t.Error("Find returns it")
			}
			if all, err := store.OfHolders(ctx, []uuid.UUID{x.session.HolderID}); err != nil || len(all) != 0 {
				t.Errorf("OfHolders returns %d sessions, %v", len(all), err)
			}
			if n := void(t, registry, "forged"); n != 2 {
				t.Errorf("the metric reports %v forged sessions, want 2", n)
			}
		})
	}
}

func bytesAt(t *testing.T, client redis.UniversalClient, key string) []byte {
	t.Helper()
	value, err := client.Get(context.Background(), key).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// void returns the number of void sessions with this reason.
func void(t *testing.T, registry *prometheus.Registry, reason string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range families[0].GetMetric() {
		if metric.GetLabel()[0].GetValue() == reason {
			return metric.GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric for %s", reason)
	return 0
}

// A session stays valid while the key of its MAC is in the keyring.
func TestSessionDuringAKeyRotation(t *testing.T) {
	t.Parallel()
	client := storetest.RedisClient(t, storetest.Redis(t))
	x := create(t, client, newStore(t, client, keyOne))
	for _, step := range []struct {
		name, keys string
		valid      bool
	}{
		{"append", keyOne + "," + keyTwo, true},
		{"promote", keyTwo + "," + keyOne, true},
		{"retire", keyTwo, false},
	} {
		if found := newStore(t, client, step.keys).Find(t.Context(), x.token) != nil; found != step.valid {
			t.Errorf("after %s: valid %v, want %v", step.name, found, step.valid)
		}
	}
}
