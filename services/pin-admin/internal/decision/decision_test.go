package decision_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/decision"
	"github.com/countersign/countersign/services/pin-admin/internal/knownbrowser"
)

const oneKey = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// world is a customer with a PIN, and a desk.
type world struct {
	t                  *testing.T
	people             storetest.People
	desk               decision.Desk
	instance, customer uuid.UUID
	right              pin.PIN
}

func newWorld(t *testing.T) *world {
	t.Helper()
	database, client := storetest.Postgres(t), storetest.RedisClient(t, storetest.Redis(t))
	ring, err := keyring.Parse(oneKey)
	if err != nil {
		t.Fatal(err)
	}
	db, registry, pool := database.Open(t, schema.RolePinAdmin), prometheus.NewRegistry(), slowhash.NewPool(2, 10)
	w := &world{t: t, people: storetest.NewPeople(t, database)}
	w.customer, w.instance = w.people.Customer(), w.people.Instance()
	w.people.Identity(w.customer, w.instance)
	w.desk = decision.Desk{
		DB: db, Redis: client, Skills: skill.Store{DB: db}, Browsers: knownbrowser.Browsers{DB: db, Secure: true}, UseWithin: time.Minute,
		Verifier: pin.NewVerifier(pin.VerifierConfig{DB: db, Redis: client, Sessions: session.NewStore(session.DefaultConfig, client, ring, registry),
			Keys: ring, Pool: pool, Budget: pin.DefaultBudget, Registry: registry}),
	}
	if w.right, err = pin.Parse("8317"); err != nil {
		t.Fatal(err)
	}
	if _, err := pin.NewStore(db, client, ring, pool).Set(t.Context(), w.instance, pin.Holder{CustomerID: w.customer}, w.right, pin.ByAdmin); err != nil {
		t.Fatal(err)
	}
	return w
}

// asked adds a pending approval and returns it as its link does.
func (w *world) asked() approval.Asked {
	w.t.Helper()
	link, hash := token.New(token.Approval), make([]byte, 32)
	rand.Read(hash)
	w.people.Exec(`insert into approvals (id, instance_id, customer_id, proxy_key_id, kind, skill, arguments, action_hash, nonce, key_id, link_hash, expires_at)
		values (gen_random_uuid(), $1, $2, $1, 'action', 'pay.transfer', '{"amount":"25.00 EUR"}', $3, $3, 'one', $4, now() + interval '10 minutes')`, w.instance, w.customer, hash, link.Hash())
	a, err := approval.ByLink(w.t.Context(), w.desk.DB, link.Reveal())
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// TestDecideNeedsTheViewThatWasSeen: a decision about another rendering is refused, and nothing is charged.
func TestDecideNeedsTheViewThatWasSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.asked()
	opened, err := w.desk.Open(t.Context(), a, knownbrowser.Browser{})
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{"", strings.Repeat("0", 64), strings.ToUpper(opened.Hash), opened.Hash + "0"} {
		for _, candidate := range []*pin.PIN{nil, &w.right} {
			if _, err := w.desk.Decide(t.Context(), a, decision.Request{ViewHash: hash, PIN: candidate}); !errors.Is(err, decision.ErrViewChanged) {
				t.Errorf("%q: %v", hash, err)
			}
		}
	}
	var tries int
	w.people.Get(&tries, `select sum(tries) from approvals`)
	if tries != 0 {
		t.Errorf("%d tries were taken", tries)
	}
	answer, err := w.desk.Decide(t.Context(), a, decision.Request{ViewHash: opened.Hash, PIN: &w.right})
	if err != nil || answer.Status != approval.Approved || answer.Cookie == nil {
		t.Errorf("%+v, %v", answer, err)
	}
}

// TestDecisionIsAnnounced: requests that wait for the answer are woken.
func TestDecisionIsAnnounced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	subscription := w.desk.Redis.Subscribe(t.Context(), "approval:changed")
	defer subscription.Close()
	if _, err := subscription.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	messages := subscription.Channel()
	for _, candidate := range []*pin.PIN{nil, &w.right} {
		a := w.asked()
		opened, err := w.desk.Open(t.Context(), a, knownbrowser.Browser{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.desk.Decide(t.Context(), a, decision.Request{ViewHash: opened.Hash, PIN: candidate}); err != nil {
			t.Fatal(err)
		}
		for { // the server is shared with other tests
			if message := <-messages; message.Payload == a.ID.String() {
				break
			}
		}
	}
}
