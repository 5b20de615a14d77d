package api_test

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

// sessionService is a service with one customer, who has a PIN and three sessions: as the owner of the instance home, as an
// identity on home, and as an identity on the instance elsewhere.
type sessionService struct {
	*service
	verifier                    *pin.Verifier
	sessions                    *session.Store
	internal                    *sqlx.DB // of pin-internal
	customer, home, elsewhere   uuid.UUID
	identity, other             uuid.UUID
	homeKey, elsewhereKey       token.Token
	asOwner, asIdentity, asElse token.Token
}

func newSessionService(t *testing.T, redisURL string) *sessionService {
	t.Helper()
	s := newServiceOn(t, redisURL)
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: s.database.URLAs(schema.RolePinInternal), Connections: 5})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	ring, err := keyring.Parse(webtest.Keys)
	must(t, err)
	registry := prometheus.NewRegistry()
	sessions := session.NewStore(session.DefaultConfig, s.redis, ring, registry)
	c := &sessionService{service: s, sessions: sessions, internal: db, verifier: pin.NewVerifier(pin.VerifierConfig{
		DB: db, Redis: s.redis, Sessions: sessions, Keys: ring, Pool: slowhash.NewPool(2, 50), Budget: pin.DefaultBudget, Registry: registry}),
		customer: s.people.Customer(), home: s.people.Instance(), elsewhere: s.people.Instance()}
	s.people.Exec(`update instances set owner_customer_id = $1 where id = $2`, c.customer, c.home)
	c.identity, c.other = s.people.Identity(c.customer, c.home), s.people.Identity(c.customer, c.elsewhere)
	c.homeKey, c.elsewhereKey = s.people.ProxyKey(c.home), s.people.ProxyKey(c.elsewhere)
	s.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())`, c.customer)
	c.asOwner, c.asIdentity, c.asElse = c.confirm(c.home, uuid.Nil, 0), c.confirm(c.home, c.identity, 0), c.confirm(c.elsewhere, c.other, 0)
	return c
}

func (c *sessionService) at(path string) string { return "/v1/customers/" + c.customer.String() + path }

func (c *sessionService) owner() pin.Subject {
	return pin.Subject{InstanceID: c.home, CustomerID: uuid.NullUUID{UUID: c.customer, Valid: true}}
}

func (c *sessionService) mine() pin.Subject {
	return pin.Subject{InstanceID: c.home, IdentityID: uuid.NullUUID{UUID: c.identity, Valid: true}}
}

func (c *sessionService) others() pin.Subject {
	return pin.Subject{InstanceID: c.elsewhere, IdentityID: uuid.NullUUID{UUID: c.other, Valid: true}}
}

func (c *sessionService) pinInternal() pin.Sessions {
	return pin.Sessions{DB: c.internal, Store: c.sessions}
}

// confirm creates the session that a right PIN would have created some time ago. Its TTL in Redis is one hour.
func (c *sessionService) confirm(instance, identity uuid.UUID, ago time.Duration) token.Token {
	c.t.Helper()
	var now struct {
		At         time.Time `db:"at"`
		Generation uuid.UUID `db:"generation"`
	}
	c.people.Get(&now, `select clock_timestamp() as at, session_generation as generation from pin_holders where holder_id = $1`, c.customer)
	created, err := c.sessions.Create(c.t.Context(), session.Session{
		InstanceID: instance, CustomerID: c.customer, IdentityID: uuid.NullUUID{UUID: identity, Valid: identity != uuid.Nil},
		HolderID: c.customer, Generation: now.Generation, IssuedAt: now.At.Add(-ago), TTL: time.Hour})
	must(c.t, err)
	return created
}

// live returns how many of the three sessions pin-internal accepts.
func (c *sessionService) live() (n int) {
	c.t.Helper()
	for _, request := range []struct {
		key     token.Token
		subject pin.Subject
		session token.Token
	}{{c.homeKey, c.owner(), c.asOwner}, {c.homeKey, c.mine(), c.asIdentity}, {c.elsewhereKey, c.others(), c.asElse}} {
		presented := c.sessions.Find(c.t.Context(), request.session.Reveal())
		resolved, err := c.verifier.Resolve(c.t.Context(), request.key, request.subject, presented, nil)
		if err == nil && resolved.Accepts(presented) {
			n++
		}
	}
	return n
}

func TestChangesThatEndSessions(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name string
		do   func(c *sessionService)
		left int
	}{
		{"nothing", func(c *sessionService) {}, 3},
		{"ending the sessions", func(c *sessionService) { c.Want(c.ask("DELETE", c.at("/sessions"), nil), 204) }, 0},
		{"setting the PIN", func(c *sessionService) { c.Want(c.ask("POST", c.at("/pin"), object{"pin": goodPIN}), 200) }, 0},
		{"removing the PIN", func(c *sessionService) { c.Want(c.ask("DELETE", c.at("/pin"), nil), 204) }, 0},
		{"locking the PIN", func(c *sessionService) {
			c.people.Exec(`update pin_holders set locked_until = now() + interval '1 hour'`)
		}, 0},
		{"deactivating the PIN", func(c *sessionService) { c.people.Exec(`update pin_holders set deactivated_by = 1`) }, 0},
		{"setting an identity's own PIN", func(c *sessionService) {
			c.Want(c.ask("POST", c.at("/identities/"+c.identity.String()+"/pin"), object{"pin": otherPIN}), 200)
		}, 2},
		{"deleting an identity", func(c *sessionService) { c.Want(c.ask("DELETE", c.at("/identities/"+c.other.String()), nil), 204) }, 2},
		{"deleting an instance", func(c *sessionService) { c.Want(c.ask("DELETE", "/v1/instances/"+c.home.String(), nil), 204) }, 1},
		{"removing the owner", func(c *sessionService) {
			c.Want(c.ask("PATCH", "/v1/instances/"+c.home.String(), object{"owner_customer_id": nil}), 200)
		}, 3}, // the identity still belongs to the instance
		{"removing the owner and the identity", func(c *sessionService) {
			c.Want(c.ask("DELETE", c.at("/identities/"+c.identity.String()), nil), 204)
			c.Want(c.ask("PATCH", "/v1/instances/"+c.home.String(), object{"owner_customer_id": nil}), 200)
		}, 1},
		{"revoking one session through pin-internal", func(c *sessionService) {
			must(c.t, c.pinInternal().Revoke(c.t.Context(), c.home, c.asOwner.Reveal()))
		}, 2},
		{"revoking one session, and Redis loses the deletion", func(c *sessionService) {
			key := "pin:{" + c.customer.String() + "}:session:" + hex.EncodeToString(c.asOwner.Hash())
			value, err := c.redis.Get(c.t.Context(), key).Bytes()
			must(c.t, err)
			list := "pin:{" + c.customer.String() + "}:sessions"
			score, err := c.redis.ZScore(c.t.Context(), list, key).Result()
			must(c.t, err)
			must(c.t, c.pinInternal().Revoke(c.t.Context(), c.home, c.asOwner.Reveal()))
			must(c.t, c.redis.Set(c.t.Context(), key, value, time.Hour).Err())
			must(c.t, c.redis.ZAdd(c.t.Context(), list, redis.Z{Score: score, Member: key}).Err())
		}, 2},
		{"flushing Redis", func(c *sessionService) { c.redis.FlushDB(c.t.Context()) }, 0},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			url := storetest.Redis(t)
			if rule.name == "flushing Redis" {
				url = storetest.OwnRedis(t).URL
			}
			c := newSessionService(t, url)
			rule.do(c)
			listed := c.Want(c.ask("GET", c.at("/sessions"), nil), 200)
			c.Fields(listed, object{"total": float64(rule.left), fmt.Sprintf("items.%d", rule.left): nil})
			if got := c.live(); got != rule.left {
				t.Errorf("pin-internal accepts %d sessions, want %d", got, rule.left)
			}
		})
	}
}

func TestListSessions(t *testing.T) {
	t.Parallel()
	c := newSessionService(t, storetest.Redis(t))
	listed := c.Want(c.ask("GET", c.at("/sessions"), nil), 200)
	c.Fields(listed, object{"total": 3.0, "page": 1.0, "per_page": 20.0,
		"items.0.instance_id": c.elsewhere.String(), "items.0.identity_id": c.other.String(),
		"items.1.instance_id": c.home.String(), "items.1.identity_id": c.identity.String(),
		"items.2.instance_id": c.home.String(), "items.2.identity_id": nil})
	lasts := func() time.Duration {
		t.Helper()
		var moments [2]time.Time
		for i, field := range []string{"items.0.since", "items.0.until"} {
			text, _ := c.ask("GET", c.at("/sessions"), nil).JSON(field).(string)
			var err error
			moments[i], err = time.Parse(time.RFC3339, text)
			must(t, err)
		}
		return moments[1].Sub(moments[0])
	}
	if got := lasts(); got != 30*time.Minute {
		t.Errorf("a session lasts %s, want 30m", got)
	}
	c.Want(c.ask("PATCH", "/v1/instances/"+c.elsewhere.String()+"/pin-policy", object{"pin_session_ttl_minutes": 7}), 200)
	if got := lasts(); got != 7*time.Minute {
		t.Errorf("under a stricter policy it lasts %s, want 7m", got)
	}
	c.Fields(c.ask("GET", c.at("/sessions?per_page=2&page=2"), nil), object{"total": 3.0, "page": 2.0, "items.0.identity_id": nil, "items.1": nil})
	c.Fields(c.ask("GET", c.at("/sessions?page=999999999999999&per_page=100"), nil), object{"total": 3.0, "items.0": nil})
	c.Want(c.ask("GET", c.at("/sessions?page=0"), nil), 422)
	c.Want(c.ask("GET", c.at("/sessions?per_page=101"), nil), 422)
	stranger := "/v1/customers/" + c.people.Customer().String() + "/sessions"
	c.Fields(c.Want(c.ask("GET", stranger, nil), 200), object{"total": 0.0})
	c.Want(c.ask("DELETE", stranger, nil), 204)
	for _, method := range []string{"GET", "DELETE"} {
		c.Want(c.ask(method, "/v1/customers/"+uuid.NewString()+"/sessions", nil), 404)
	}
	// Redis still has this session, but it is too old by Postgres's clock.
	c.confirm(c.home, uuid.Nil, 31*time.Minute)
	c.Fields(c.ask("GET", c.at("/sessions"), nil), object{"total": 3.0})
}

func TestEndedSessionsAreRemovedFromRedis(t *testing.T) {
	t.Parallel()
	c := newSessionService(t, storetest.Redis(t))
	c.Want(c.ask("DELETE", c.at("/sessions"), nil), 204)
	kept, err := c.redis.Keys(t.Context(), "pin:{"+c.customer.String()+"}:session*").Result()
	must(t, err)
	if len(kept) > 0 {
		t.Errorf("Redis keeps %v", kept)
	}
	c.Want(c.ask("POST", c.at("/pin"), object{"pin": goodPIN}), 200)
	c.Want(c.ask("POST", c.at("/identities/"+c.other.String()+"/pin"), object{"pin": goodPIN}), 200)
	p, err := pin.Parse(goodPIN)
	must(t, err)
	for _, request := range []struct {
		key     token.Token
		subject pin.Subject
	}{{c.homeKey, c.owner()}, {c.elsewhereKey, c.others()}} {
		if result, err := c.verifier.Verify(t.Context(), request.key, request.subject, p); err != nil || result.Session == nil {
			t.Fatalf("verifying: %v", err)
		}
	}
	c.Fields(c.ask("GET", c.at("/sessions"), nil), object{"total": 2.0, "items.0.identity_id": c.other.String(), "items.1.instance_id": c.home.String()})
	c.Want(c.ask("DELETE", c.at("/sessions"), nil), 204)
	c.Fields(c.ask("GET", c.at("/sessions"), nil), object{"total": 0.0})
	c.actions("sessions.ended", "pin.set", "pin.set", "sessions.ended")
}

func TestEndingSessionsWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	c := newSessionService(t, server.URL)
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: c.database.URLAs(schema.RolePinAdmin), Connections: 2})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	impatient, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	must(t, err)
	t.Cleanup(func() { impatient.Close() })
	without := serve(t, c.database, db, impatient)

	server.Pause()
	refused := without.Want(without.ask("GET", c.at("/sessions"), nil), 503)
	if refused.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	without.Want(without.ask("DELETE", c.at("/sessions"), nil), 204)
	server.Resume()
	// Redis still has the sessions, but their generation has been renewed in Postgres.
	if c.sessions.Find(t.Context(), c.asOwner.Reveal()) == nil {
		t.Fatal("Redis has lost the session")
	}
	c.Fields(c.Want(c.ask("GET", c.at("/sessions"), nil), 200), object{"total": 0.0})
	if c.live() != 0 {
		t.Error("pin-internal accepts a session that was ended while Redis was down")
	}
}
