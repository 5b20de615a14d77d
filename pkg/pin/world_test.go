package pin_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
)

const (
	keyOne = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyTwo = "two:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
)

// replicaName is the name of the replicas in pg_stat_activity.
const replicaName = "replica"

var (
	rightPIN = parse("8317")
	wrongPIN = parse("4378")
	thirdPIN = parse("9875")
)

func parse(digits string) pin.PIN {
	p, err := pin.Parse(digits)
	if err != nil {
		panic(err)
	}
	return p
}

// world is one customer with an identity on one instance, and two replicas on the same stores.
type world struct {
	t      testing.TB
	people storetest.People
	// database is the database of people and db. db belongs to the replicas.
	database *storetest.Database
	db       *sqlx.DB
	// redis has the short timeouts of a service.
	redis redis.UniversalClient
	// patient is a client of the test itself. It does not fail because the machine is busy.
	patient redis.UniversalClient
	// sessions are the sessions of the first replica.
	sessions *session.Store
	// The metrics of the first and the second replica.
	registry, otherRegistry *prometheus.Registry
	budget                  budget.Limits

	instance, customer, identity uuid.UUID
	key                          token.Token
	verifier, second             *pin.Verifier
	pins                         *pin.Store
}

func newWorld(t testing.TB) *world { return newWorldOn(t, storetest.Redis(t)) }

func newWorldOn(t testing.TB, redisURL string) *world {
	t.Helper()
	client, err := stores.OpenRedis(stores.RedisConfig{URL: redisURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return newWorldWith(t, client, storetest.RedisClient(t, redisURL))
}

// newPatientWorld is a world for tests that must not fail because Redis does not answer a replica in time.
func newPatientWorld(t testing.TB, redisURL string) *world {
	t.Helper()
	client := storetest.RedisClient(t, redisURL)
	return newWorldWith(t, client, client)
}

func newWorldWith(t testing.TB, client, patient redis.UniversalClient) *world {
	t.Helper()
	database := storetest.Postgres(t)
	w := &world{t: t, redis: client, patient: patient, database: database, people: storetest.NewPeople(t, database), registry: prometheus.NewRegistry(), otherRegistry: prometheus.NewRegistry(),
		budget: pin.DefaultBudget}
	var err error
	if w.db, err = stores.OpenPostgres(stores.PostgresConfig{URL: database.URLAs(schema.RolePinInternal) + "&application_name=" + replicaName, Connections: 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	w.customer, w.instance = w.people.Customer(), w.people.Instance()
	w.identity, w.key = w.people.Identity(w.customer, w.instance), w.people.ProxyKey(w.instance)
	w.verifier, w.pins = w.replica(keyOne, w.registry)
	w.second, _ = w.replica(keyOne, w.otherRegistry)
	return w
}

// replica returns a replica on the same stores, with its own keyring.
func (w *world) replica(keys string, registry *prometheus.Registry) (*pin.Verifier, *pin.Store) {
	ring, err := keyring.Parse(keys)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := slowhash.NewPool(2, 400)
	sessions := session.NewStore(session.DefaultConfig, w.redis, ring, registry)
	if w.sessions == nil {
		w.sessions = sessions
	}
	verifier := pin.NewVerifier(pin.VerifierConfig{DB: w.db, Redis: w.redis, Sessions: sessions, Keys: ring, Pool: pool, Budget: w.budget, Registry: registry})
	return verifier, pin.NewStore(w.db, w.redis, ring, pool)
}

func (w *world) subject() pin.Subject {
	return pin.Subject{InstanceID: w.instance, IdentityID: some(w.identity)}
}

func (w *world) customerHolder() pin.Holder { return pin.Holder{CustomerID: w.customer} }

func (w *world) identityHolder() pin.Holder {
	return pin.Holder{CustomerID: w.customer, IdentityID: some(w.identity)}
}

func (w *world) set(h pin.Holder, p pin.PIN, by pin.Authority) pin.Status {
	w.t.Helper()
	status, err := w.pins.Set(context.Background(), w.instance, h, p, by)
	if err != nil {
		w.t.Fatalf("setting a PIN: %v", err)
	}
	return status
}

func (w *world) verify(p pin.PIN) pin.Result { return w.verifySubject(w.subject(), p) }

func (w *world) verifySubject(s pin.Subject, p pin.PIN) pin.Result {
	w.t.Helper()
	result, err := w.verifier.Verify(context.Background(), w.key, s, p)
	if err != nil {
		w.t.Fatalf("verifying: %v", err)
	}
	return result
}

func (w *world) unlock(h pin.Holder) {
	w.t.Helper()
	if _, err := w.pins.Unlock(context.Background(), h); err != nil {
		w.t.Fatalf("unlocking: %v", err)
	}
}

// endLock ends the lock by moving its end, not the clock. A replica may remember the old end, so it also deletes the lock key.
func (w *world) endLock(h pin.Holder) {
	w.t.Helper()
	w.people.Exec(`update pin_holders set locked_until = now() where holder_id = $1`, h.ID())
	w.patient.Del(context.Background(), "pin:{"+h.ID().String()+"}:lock")
}

// exhaust sends wrong candidates until the PIN is locked.
func (w *world) exhaust() {
	w.t.Helper()
	for range w.budget.Attempts {
		if got := w.verify(wrongPIN); got.Outcome != pin.Wrong {
			w.t.Fatalf("a wrong candidate within the budget: %s", got.Outcome)
		}
	}
}

// comparisons returns the number of comparisons at both replicas.
func (w *world) comparisons() (total int) {
	w.t.Helper()
	for _, registry := range []*prometheus.Registry{w.registry, w.otherRegistry} {
		families, err := registry.Gather()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "pin_comparisons_total" {
				total += int(family.GetMetric()[0].GetCounter().GetValue())
			}
		}
	}
	return total
}

// valid reports whether the session of a result is valid.
func (w *world) valid(result pin.Result) bool {
	w.t.Helper()
	if result.Session == nil {
		w.t.Fatal("the result has no session")
	}
	return w.accepts(w.sessions.Find(context.Background(), result.Session.Reveal()))
}

func (w *world) accepts(x *session.Session) bool {
	w.t.Helper()
	resolved, err := w.verifier.Resolve(context.Background(), w.key, w.subject(), x, nil)
	if err != nil {
		w.t.Fatalf("resolving: %v", err)
	}
	return resolved.Accepts(x)
}

func some(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: true} }
