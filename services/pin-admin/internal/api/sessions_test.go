package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
)

// confirmed is a customer with a PIN, an instance that the customer owns, an identity there and one elsewhere, and three
// sessions: as owner and as either identity.
type confirmed struct {
	*service
	verifier                    *pin.Verifier
	customer, home, elsewhere   uuid.UUID
	identity, other             uuid.UUID
	homeKey, elsewhereKey       token.Token
	asOwner, asIdentity, asElse token.Token
}

func newConfirmed(t *testing.T, client redis.UniversalClient) *confirmed {
	t.Helper()
	s := newServiceOn(t, client)
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: s.database.URLAs(schema.RolePinInternal), Connections: 5})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	ring, err := keyring.Parse(keys)
	must(t, err)
	c := &confirmed{service: s, verifier: pin.NewVerifier(pin.VerifierConfig{
		DB: db, Redis: s.redis, Keys: ring, Pool: slowhash.NewPool(2, 50), Budget: pin.DefaultBudget, Registry: prometheus.NewRegistry()}),
		customer: s.people.Customer(), home: s.people.Instance(), elsewhere: s.people.Instance()}
	s.people.Exec(`update instances set owner_customer_id = $1 where id = $2`, c.customer, c.home)
	c.identity, c.other = s.people.Identity(c.customer, c.home), s.people.Identity(c.customer, c.elsewhere)
	c.homeKey, c.elsewhereKey = s.people.ProxyKey(c.home), s.people.ProxyKey(c.elsewhere)
	s.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())`, c.customer)
	c.asOwner, c.asIdentity, c.asElse = c.confirm(c.home, uuid.Nil, 0), c.confirm(c.home, c.identity, 0), c.confirm(c.elsewhere, c.other, 0)
	return c
}

func (c *confirmed) at(path string) string { return "/v1/customers/" + c.customer.String() + path }

func (c *confirmed) owner() pin.Subject {
	return pin.Subject{InstanceID: c.home, CustomerID: uuid.NullUUID{UUID: c.customer, Valid: true}}
}

func (c *confirmed) mine() pin.Subject {
	return pin.Subject{InstanceID: c.home, IdentityID: uuid.NullUUID{UUID: c.identity, Valid: true}}
}

func (c *confirmed) others() pin.Subject {
	return pin.Subject{InstanceID: c.elsewhere, IdentityID: uuid.NullUUID{UUID: c.other, Valid: true}}
}

// confirm gives the session that a right PIN would have given some time ago, for an hour at most.
func (c *confirmed) confirm(instance, identity uuid.UUID, ago time.Duration) token.Token {
	c.t.Helper()
	var now struct {
		At         time.Time `db:"at"`
		Generation uuid.UUID `db:"generation"`
	}
	c.people.Get(&now, `select clock_timestamp() as at, session_generation as generation from pin_holders where holder_id = $1`, c.customer)
	given, err := session.Store{Redis: c.redis}.Create(c.t.Context(), session.Session{
		InstanceID: instance, CustomerID: c.customer, IdentityID: uuid.NullUUID{UUID: identity, Valid: identity != uuid.Nil},
		HolderID: c.customer, Generation: now.Generation, IssuedAt: now.At.Add(-ago), TTL: time.Hour})
	must(c.t, err)
	return given
}

// live is what an agent would be told of the three sessions.
func (c *confirmed) live() (n int) {
	c.t.Helper()
	for _, asked := range []struct {
		key     token.Token
		subject pin.Subject
		session token.Token
	}{{c.homeKey, c.owner(), c.asOwner}, {c.homeKey, c.mine(), c.asIdentity}, {c.elsewhereKey, c.others(), c.asElse}} {
		resolved, err := c.verifier.Resolve(c.t.Context(), asked.key, asked.subject)
		if err == nil && resolved.Accepts((session.Store{Redis: c.redis}).Find(c.t.Context(), asked.session.Reveal())) {
			n++
		}
	}
	return n
}

func TestWhatEndsSessions(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name string
		do   func(c *confirmed)
		left int
	}{
		{"nothing", func(c *confirmed) {}, 3},
		{"ending them", func(c *confirmed) { c.Want(c.ask("DELETE", c.at("/sessions"), nil), 204) }, 0},
		{"setting the PIN", func(c *confirmed) { c.Want(c.ask("POST", c.at("/pin"), object{"pin": goodPIN}), 200) }, 0},
		{"removing the PIN", func(c *confirmed) { c.Want(c.ask("DELETE", c.at("/pin"), nil), 204) }, 0},
		{"a lock", func(c *confirmed) { c.people.Exec(`update pin_holders set locked_until = now() + interval '1 hour'`) }, 0},
		{"a deactivation", func(c *confirmed) { c.people.Exec(`update pin_holders set deactivated_by = 1`) }, 0},
		{"an identity's own PIN", func(c *confirmed) {
			c.Want(c.ask("POST", c.at("/identities/"+c.identity.String()+"/pin"), object{"pin": otherPIN}), 200)
		}, 2},
		{"deleting an identity", func(c *confirmed) { c.Want(c.ask("DELETE", c.at("/identities/"+c.other.String()), nil), 204) }, 2},
		{"deleting an instance", func(c *confirmed) { c.Want(c.ask("DELETE", "/v1/instances/"+c.home.String(), nil), 204) }, 1},
		{"another owner", func(c *confirmed) {
			c.Want(c.ask("PATCH", "/v1/instances/"+c.home.String(), object{"owner_customer_id": nil}), 200)
		}, 3}, // still within it, by an identity
		{"another owner, and no identity", func(c *confirmed) {
			c.Want(c.ask("DELETE", c.at("/identities/"+c.identity.String()), nil), 204)
			c.Want(c.ask("PATCH", "/v1/instances/"+c.home.String(), object{"owner_customer_id": nil}), 200)
		}, 1},
		{"an agent that ends one", func(c *confirmed) {
			must(c.t, session.Store{Redis: c.redis}.Delete(c.t.Context(), c.home, c.asOwner.Reveal()))
		}, 2},
		{"losing Redis's memory", func(c *confirmed) { c.redis.FlushDB(c.t.Context()) }, 0},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			url := storetest.Redis(t)
			if rule.name == "losing Redis's memory" {
				url = storetest.OwnRedis(t).URL
			}
			c := newConfirmed(t, storetest.RedisClient(t, url))
			rule.do(c)
			listed := c.Want(c.ask("GET", c.at("/sessions"), nil), 200)
			c.Fields(listed, object{"total": float64(rule.left), fmt.Sprintf("items.%d", rule.left): nil})
			if got := c.live(); got != rule.left {
				t.Errorf("an agent is told that %d sessions count, want %d", got, rule.left)
			}
		})
	}
}

func TestWhatIsTold(t *testing.T) {
	t.Parallel()
	c := newConfirmed(t, storetest.RedisClient(t, storetest.Redis(t)))
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
	// A session that is too old by Postgres's clock, though Redis still has it.
	c.confirm(c.home, uuid.Nil, 31*time.Minute)
	c.Fields(c.ask("GET", c.at("/sessions"), nil), object{"total": 3.0})
}

func TestEndedSessionsAreForgotten(t *testing.T) {
	t.Parallel()
	c := newConfirmed(t, storetest.RedisClient(t, storetest.Redis(t)))
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
	for _, asked := range []struct {
		key     token.Token
		subject pin.Subject
	}{{c.homeKey, c.owner()}, {c.elsewhereKey, c.others()}} {
		if result, err := c.verifier.Verify(t.Context(), asked.key, asked.subject, p); err != nil || result.Session == nil {
			t.Fatalf("verifying: %v", err)
		}
	}
	c.Fields(c.ask("GET", c.at("/sessions"), nil), object{"total": 2.0, "items.0.identity_id": c.other.String(), "items.1.instance_id": c.home.String()})
	c.Want(c.ask("DELETE", c.at("/sessions"), nil), 204)
	c.Fields(c.ask("GET", c.at("/sessions"), nil), object{"total": 0.0})
	c.actions("sessions.ended", "pin.set", "pin.set", "sessions.ended")
}

func TestSessionsWithoutRedis(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	c := newConfirmed(t, storetest.RedisClient(t, server.URL))
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: c.database.URLAs(schema.RolePinAdmin), Connections: 2})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	hasty, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	must(t, err)
	t.Cleanup(func() { hasty.Close() })
	without := serve(t, c.database, db, hasty)

	server.Pause()
	away := without.Want(without.ask("GET", c.at("/sessions"), nil), 503)
	if away.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	without.Want(without.ask("DELETE", c.at("/sessions"), nil), 204)
	server.Resume()
	// Redis still has them; what they rest on is gone.
	if (session.Store{Redis: c.redis}).Find(t.Context(), c.asOwner.Reveal()) == nil {
		t.Fatal("Redis has lost what it should have kept")
	}
	c.Fields(c.Want(c.ask("GET", c.at("/sessions"), nil), 200), object{"total": 0.0})
	if c.live() != 0 {
		t.Error("an agent may still use a session that was ended while Redis was away")
	}
}
