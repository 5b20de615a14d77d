package signing_test

import (
	"crypto/ed25519"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

const (
	oldKey = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newKey = "new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	both   = newKey + "," + oldKey
)

const (
	keyLifetime   = 2160 * time.Hour
	tokenLifetime = 15 * time.Minute
)

// deployment is a database of the test's own with keys of one kind. Each replica has Keys of its own.
type deployment struct {
	t      *testing.T
	kind   signing.Kind
	db     *sqlx.DB
	owner  *sqlx.DB
	people storetest.People
}

// ofEachKind runs a test with the keys of each kind, as the role that signs with them.
func ofEachKind(t *testing.T, test func(t *testing.T, d deployment)) {
	t.Parallel()
	for role, kind := range map[string]signing.Kind{schema.RoleAuth: signing.AccessTokens, schema.RolePinInternal: signing.Receipts} {
		t.Run(kind.Table, func(t *testing.T) {
			t.Parallel()
			database := storetest.Postgres(t)
			test(t, deployment{t, kind, database.Open(t, role), database.Open(t, ""), storetest.NewPeople(t, database)})
		})
	}
}

func (d deployment) replica(ring string) replica {
	d.t.Helper()
	parsed, err := keyring.Parse(ring)
	if err != nil {
		d.t.Fatal(err)
	}
	return replica{d.t, signing.New(d.kind, d.db, parsed, keyLifetime)}
}

// pass moves all keys into the past.
func (d deployment) pass(minutes int) {
	d.t.Helper()
	d.people.Exec(`update `+d.kind.Table+` set created_at = created_at - make_interval(mins => $1), retired_at = retired_at - make_interval(mins => $1)`, minutes)
}

// prepare calls Prepare 30 times at once.
func prepare(t *testing.T, replicas ...replica) {
	t.Helper()
	var running sync.WaitGroup
	for i := range 30 {
		running.Go(func() {
			if err := replicas[i%len(replicas)].keys.Prepare(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

type replica struct {
	t    *testing.T
	keys *signing.Keys
}

// sign returns a token and the id of its key.
func (r replica) sign() (token, kid string) {
	r.t.Helper()
	token, err := r.keys.Sign(r.t.Context(), jwt.RegisteredClaims{Subject: "somebody"})
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &jwt.RegisteredClaims{})
	if err != nil {
		r.t.Fatal(err)
	}
	return token, parsed.Header["kid"].(string)
}

// kid returns the id of the key that signs now.
func (r replica) kid() string {
	r.t.Helper()
	_, kid := r.sign()
	return kid
}

// published returns the ids of the published keys.
func (r replica) published() (ids []string) {
	r.t.Helper()
	keys, err := r.keys.Public(r.t.Context(), tokenLifetime)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, key := range keys {
		ids = append(ids, key.ID.String())
	}
	return ids
}

func (r replica) wantPublished(want ...string) {
	r.t.Helper()
	if got := r.published(); len(got) != len(want) || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		r.t.Errorf("published %v, want %v", got, want)
	}
}

// verifies reports whether a published key verifies a token.
func (r replica) verifies(token string) bool {
	r.t.Helper()
	keys, err := r.keys.Public(r.t.Context(), tokenLifetime)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = jwt.Parse(token, func(t *jwt.Token) (any, error) {
		for _, key := range keys {
			if key.ID.String() == t.Header["kid"] {
				return ed25519.PublicKey(key.Key), nil
			}
		}
		return nil, jwt.ErrTokenUnverifiable
	}, jwt.WithValidMethods([]string{"EdDSA"}))
	return err == nil
}

func TestReplicasCreateOneKey(t *testing.T) {
	ofEachKind(t, func(t *testing.T, d deployment) {
		r := d.replica(oldKey)
		prepare(t, r, d.replica(oldKey), d.replica(oldKey))
		if n := len(r.published()); n != 1 {
			t.Fatalf("%d keys", n)
		}
		token, kid := r.sign()
		if !r.verifies(token) {
			t.Error("the published key does not verify the token")
		}
		r.wantPublished(kid)
	})
}

func TestSignCreatesTheFirstKey(t *testing.T) {
	ofEachKind(t, func(t *testing.T, d deployment) {
		r := d.replica(oldKey)
		if token, _ := r.sign(); !r.verifies(token) {
			t.Error("the published key does not verify the token")
		}
	})
}

func TestRetiredKeyDoesNotSignAndStaysPublished(t *testing.T) {
	ofEachKind(t, func(t *testing.T, d deployment) {
		r := d.replica(oldKey)
		before, retired := r.sign()
		d.people.Exec(`update ` + d.kind.Table + ` set retired_at = now()`)
		after, kid := r.sign()
		if kid == retired || !r.verifies(after) {
			t.Error("signed with the retired key or with a key that is not published")
		}
		if !r.verifies(before) {
			t.Error("a token of the retired key does not verify")
		}
		r.wantPublished(retired, kid)
		d.people.Exec(`update ` + d.kind.Table + ` set retired_at = now() - interval '17 minutes' where retired_at is not null`)
		r.wantPublished(kid)
	})
}

func TestKeyringReplacement(t *testing.T) {
	ofEachKind(t, func(t *testing.T, d deployment) {
		old := d.replica(oldKey)
		oldKid := old.kid()
		if d.replica(both).kid() != oldKid {
			t.Error("a ring with another current key created a key, although it opens the old one")
		}
		token, kid := d.replica(newKey).sign()
		if kid == oldKid || !old.verifies(token) {
			t.Error("a ring that does not open the key must sign with a new key")
		}
		if old.kid() != oldKid {
			t.Error("a replica with the old ring must sign with the key that it opens")
		}
	})
}

// TestKeysAreReplacedWithOverlap follows a rotation: the new key is published before it signs, the old key stays published
// until its tokens have expired, and all replicas begin to sign with the new key at the same time.
func TestKeysAreReplacedWithOverlap(t *testing.T) {
	for name, begin := range map[string]string{
		"by age":         ` set created_at = now() - interval '2160 hours'`,
		"by an operator": ` set created_at = now() - interval '1 day', retired_at = now() + interval '15 minutes'`,
	} {
		t.Run(name, func(t *testing.T) {
			ofEachKind(t, func(t *testing.T, d deployment) {
				first, second := d.replica(oldKey), d.replica(oldKey)
				token, old := first.sign()
				prepare(t, first, second)
				if first.kid() != old {
					t.Error("a key was created before one was needed")
				}
				first.wantPublished(old)
				d.people.Exec(`update ` + d.kind.Table + begin)
				prepare(t, first, second)
				prepare(t, first, second)
				published := first.published()
				if len(published) != 2 || !slices.Contains(published, old) {
					t.Fatalf("published %v", published)
				}
				for range 2 {
					for _, r := range []replica{first, second} {
						if r.kid() != old {
							t.Error("the new key signs before every verifier can have it")
						}
					}
					d.pass(4)
				}
				d.pass(3)
				fresh := first.kid()
				if fresh == old || second.kid() != fresh || !slices.Contains(published, fresh) {
					t.Error("the new key must sign on all replicas")
				}
				if !second.verifies(token) {
					t.Error("the old key is not published until its tokens have expired")
				}
				d.pass(22)
				first.wantPublished(fresh)
				prepare(t, first, second)
				if first.kid() != fresh {
					t.Error("another key was created")
				}
				first.wantPublished(fresh)
			})
		})
	}
}

func TestRevokedKeyIsReplacedAtOnce(t *testing.T) {
	ofEachKind(t, func(t *testing.T, d deployment) {
		r := d.replica(oldKey)
		stolen, revoked := r.sign()
		if err := d.kind.Revoke(t.Context(), d.owner); err != nil {
			t.Fatal(err)
		}
		if r.verifies(stolen) {
			t.Error("a token of the revoked key verifies")
		}
		token, kid := r.sign()
		if kid == revoked || !r.verifies(token) {
			t.Error("the next token must have a new, published key")
		}
		r.wantPublished(kid)
	})
}

// Keys of one kind open only as keys of this kind, also with the same keyring.
func TestKeysOfOneKindAreNoKeysOfAnother(t *testing.T) {
	ofEachKind(t, func(t *testing.T, d deployment) {
		other := signing.AccessTokens
		if d.kind.Table == other.Table {
			other = signing.Receipts
		}
		d.replica(oldKey).sign()
		var row struct {
			ID     uuid.UUID `db:"id"`
			Sealed []byte    `db:"private_sealed"`
		}
		d.people.Get(&row, `select id, private_sealed from `+d.kind.Table)
		ring, err := keyring.Parse(oldKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signing.New(d.kind, d.db, ring, keyLifetime).Open(row.ID, row.Sealed); err != nil {
			t.Error(err)
		}
		if _, err := signing.New(other, d.db, ring, keyLifetime).Open(row.ID, row.Sealed); !errors.Is(err, keyring.ErrSealBroken) {
			t.Errorf("a key of %s opens as a key of %s: %v", d.kind.Table, other.Table, err)
		}
		if _, err := d.db.Exec(`select private_sealed from ` + other.Table); err == nil {
			t.Errorf("the role of %s may read the keys of %s", d.kind.Table, other.Table)
		}
	})
}

// Current names the key that signs next, of the keys that the ring opens.
func TestCurrentIsTheKeyThatSigns(t *testing.T) {
	ofEachKind(t, func(t *testing.T, d deployment) {
		current := func(ids ...string) (id string) {
			t.Helper()
			err := d.db.Get(&id, `select id from (`+d.kind.Current("$1::text[]")+`) k`, pq.Array(ids))
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				t.Fatal(err)
			}
			return id
		}
		if id := current("old", "new"); id != "" {
			t.Errorf("before the first key: %s", id)
		}
		first, second := d.replica(oldKey).kid(), d.replica(newKey).kid()
		for _, c := range []struct {
			minutes int
			ring    string
			ids     []string
		}{{0, both, []string{"new", "old"}}, {0, newKey, []string{"new"}}, {11, both, []string{"new", "old"}}, {0, oldKey, []string{"old"}}, {0, oldKey, []string{"old", "lost"}}} {
			d.pass(c.minutes)
			want := d.replica(c.ring).kid()
			if got := current(c.ids...); got != want {
				t.Errorf("%v: %s, want %s (first %s, second %s)", c.ids, got, want, first, second)
			}
		}
	})
}
