package approval_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/receipt"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
)

const issuer = "https://approve.example.test"

// world is a database with one customer, who has an identity on an instance and a PIN, and a Uses of pin-internal.
type world struct {
	t      *testing.T
	people storetest.People
	// db has the rights of pin-internal, owner has all.
	db, owner *sqlx.DB
	store     *session.Store
	uses      *approval.Uses

	instance, customer, identity uuid.UUID
	key                          token.Token
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newWorldOn(t, storetest.Redis(t))
}

func newWorldOn(t *testing.T, redisURL string) *world {
	t.Helper()
	database := storetest.Postgres(t)
	w := &world{t: t, people: storetest.NewPeople(t, database), db: database.Open(t, schema.RolePinInternal), owner: database.Open(t, "")}
	redis, err := stores.OpenRedis(stores.RedisConfig{URL: storetest.RedisAs(t, redisURL, schema.RolePinInternal)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { redis.Close() })
	w.store = session.NewStore(session.Config{PerHolder: 3}, redis, w.ring(), prometheus.NewRegistry())
	w.uses = approval.NewUses(w.db, w.ring(), w.store, issuer)
	w.customer, w.instance = w.people.Customer(), w.people.Instance()
	w.identity, w.key = w.people.Identity(w.customer, w.instance), w.people.ProxyKey(w.instance)
	w.holder(w.customer, nil)
	// As pin-admin does. Without a key, a burn does nothing, and would not show what else it checks.
	if err := signing.New(signing.Receipts, w.db, w.ring(), approval.ReceiptKeyLifetime).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) ring() *keyring.Ring {
	w.t.Helper()
	ring, err := keyring.Parse(twoKeys)
	if err != nil {
		w.t.Fatal(err)
	}
	return ring
}

// holder adds the PIN of the customer, or of an identity of the customer.
func (w *world) holder(id uuid.UUID, identity *uuid.UUID) {
	w.t.Helper()
	w.people.Exec(`insert into pin_holders (holder_id, customer_id, identity_id, verifier, generation, pin_set_at) values ($1, $2, $3, 'x', gen_random_uuid(), now())`,
		id, w.customer, identity)
}

const arguments = `{"amount":"12.50","payee":"Ann"}`

// approved adds an approval that the person has approved with the customer's PIN. identity is the subject if it is not nil.
func (w *world) approved(kind approval.Kind, identity *uuid.UUID) uuid.UUID {
	w.t.Helper()
	id, audience := uuid.New(), "bank"
	hash, err := action.Action{Instance: w.instance.String(), Customer: w.customer.String(), Skill: "pay", Audience: &audience, Arguments: arguments}.Hash()
	if err != nil {
		w.t.Fatal(err)
	}
	w.people.Exec(`
		insert into approvals (id, instance_id, customer_id, identity_id, proxy_key_id, kind, skill, audience, arguments, action_hash, title, template,
		                       nonce, key_id, link_hash, status, expires_at, tries, decided_at, holder_id, session_generation)
		select $1::uuid, $2, $3, $4, gen_random_uuid(), $5, 'pay', $6, $7, $8, 'Pay', 'Pay {amount} to {payee}',
		       sha256($1::uuid::text::bytea), 'old', sha256($1::uuid::text::bytea), 'approved', now() + interval '2 minutes', 1, now() - interval '3 seconds', h.holder_id, h.session_generation
		  from pin_holders h where h.holder_id = $3`,
		id, w.instance, w.customer, identity, kind, audience, arguments, hash[:])
	return id
}

func useID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

func (w *world) use(id uuid.UUID, useID string) (approval.Grant, error) {
	return w.useWith(id, useID, arguments)
}

func (w *world) useWith(id uuid.UUID, useID, arguments string) (approval.Grant, error) {
	r := approval.UseRequest{Key: w.key, InstanceID: w.instance, Approval: id, UseID: useID}
	if arguments != "" {
		r.Arguments = []byte(arguments)
	}
	ctx := caller.NewContext(context.Background(), caller.Caller{Kind: caller.ProxyKey, RequestID: "request-1", Address: "192.0.2.1"})
	return w.uses.Use(ctx, r)
}

func (w *world) status(id uuid.UUID) (status string) {
	w.t.Helper()
	w.people.Get(&status, `select status from approvals where id = $1`, id)
	return status
}

// wantRefused checks the error of a use that must change nothing.
func (w *world) wantRefused(name string, id uuid.UUID, want error) {
	w.t.Helper()
	before := w.status(id)
	if got, err := w.use(id, useID()); !errors.Is(err, want) || got != (approval.Grant{}) {
		w.t.Errorf("%s: %+v, %v, want %v", name, got, err, want)
	}
	if after := w.status(id); after != before {
		w.t.Errorf("%s: the status became %s", name, after)
	}
}

// verify checks a receipt with the published keys, and returns its claims.
func (w *world) verify(text string) (claims receipt.Claims) {
	w.t.Helper()
	keys, err := signing.New(signing.Receipts, w.db, w.ring(), approval.ReceiptKeyLifetime).Public(w.t.Context(), approval.ReceiptKeyPublished)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = jwt.ParseWithClaims(text, &claims, func(t *jwt.Token) (any, error) {
		for _, key := range keys {
			if key.ID.String() == t.Header["kid"] && t.Header["typ"] == receipt.Type {
				return ed25519.PublicKey(key.Key), nil
			}
		}
		return nil, jwt.ErrTokenUnverifiable
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(issuer), jwt.WithAudience("bank"))
	if err != nil {
		w.t.Errorf("the receipt does not verify: %v", err)
	}
	return claims
}

func TestUseGivesOneReceipt(t *testing.T) {
	w := newWorld(t)
	id, first := w.approved(approval.Action, nil), useID()
	got, err := w.use(id, first)
	if err != nil {
		t.Fatal(err)
	}
	var row struct {
		UsedAt    time.Time `db:"used_at"`
		DecidedAt time.Time `db:"decided_at"`
		Hash      string    `db:"hash"`
	}
	w.people.Get(&row, `select used_at, decided_at, encode(action_hash, 'hex') as hash from approvals where id = $1`, id)
	if !got.UsedAt.Equal(row.UsedAt) || got.ActionHash != row.Hash || got.Session != nil {
		t.Errorf("got %+v, want %+v", got, row)
	}
	claims := w.verify(got.Receipt)
	template := "Z8F6cXkgqRXbMPnqf5fJYUpF3k7h93YIGZXelWuBV9g" // printf 'Pay\0Pay {amount} to {payee}' | sha256sum, in base64url
	want := fmt.Sprintf(`{%s %s bank %d %d %s {%s pay %s %s %d [pin]}}`, issuer, w.customer, row.UsedAt.Unix(), row.UsedAt.Unix()+120, id,
		w.instance, row.Hash, template, row.DecidedAt.Unix())
	given := claims
	given.Approved.Template = nil
	if claims.Approved.Template == nil || strings.Replace(fmt.Sprint(given), "<nil>", *claims.Approved.Template, 1) != want {
		t.Errorf("the claims are %+v (template %v), want %s", claims, *claims.Approved.Template, want)
	}
	for range 2 {
		if again, err := w.use(id, first); err != nil || again.Receipt != got.Receipt || !again.UsedAt.Equal(got.UsedAt) || again.ActionHash != got.ActionHash {
			t.Errorf("the same use_id: %+v, %v", again, err)
		}
	}
	w.wantRefused("another use_id", id, approval.Refused(approval.Used))
	if _, err := w.useWith(id, first, `{"amount":"99.50","payee":"Ann"}`); !errors.Is(err, approval.ErrArguments) {
		t.Errorf("the same use_id with other arguments: %v", err)
	}
	if again, err := w.useWith(id, first, ""); err != nil || again.Receipt != got.Receipt {
		t.Errorf("the same use_id without arguments: %v", err)
	}
	var audit string
	w.people.Get(&audit, `select string_agg(concat_ws(' ', action, actor_kind, actor_id = (select id from proxy_keys), customer_id = $1, instance_id = $2, target_id = $3, request_id, address, details), ', ') from audit`,
		w.customer, w.instance, id)
	if audit != `approval.used proxy_key t t t t request-1 192.0.2.1 {"skill": "pay", "grants": "action"}` {
		t.Errorf("the audit trail: %s", audit)
	}
}

// The whole way: a wrong PIN, the right PIN, the use, and a lock between another approval and its use.
func TestUseAfterARightPIN(t *testing.T) {
	w := newWorld(t)
	client, registry := storetest.RedisClient(t, storetest.Redis(t)), prometheus.NewRegistry()
	pool := slowhash.NewPool(2, 10)
	verifier := pin.NewVerifier(pin.VerifierConfig{DB: w.owner, Redis: client, Sessions: session.NewStore(session.DefaultConfig, client, w.ring(), registry),
		Keys: w.ring(), Pool: pool, Budget: pin.DefaultBudget, Registry: registry})
	parse := func(text string) pin.PIN {
		p, err := pin.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	right, wrong := parse("83174629"), parse("40291735")
	if _, err := pin.NewStore(w.owner, client, w.ring(), pool).Set(t.Context(), w.instance, pin.Holder{CustomerID: w.customer}, right, pin.ByAdmin); err != nil {
		t.Fatal(err)
	}
	subject := pin.Subject{InstanceID: w.instance, CustomerID: uuid.NullUUID{UUID: w.customer, Valid: true}}
	answer := func(id uuid.UUID, candidate pin.PIN, want pin.Outcome) {
		t.Helper()
		got, err := verifier.Approve(t.Context(), pin.Approving{ID: id, Subject: subject, UseWithin: 2 * time.Minute}, candidate)
		if err != nil || got.Outcome != want {
			t.Fatalf("%+v, %v, want %s", got, err, want)
		}
	}
	pending := func() uuid.UUID {
		id := w.approved(approval.Action, nil)
		w.people.Exec(`update approvals set status = 'pending', tries = 0, decided_at = null, holder_id = null, session_generation = null where id = $1`, id)
		return id
	}
	id := pending()
	answer(id, wrong, pin.Wrong)
	w.wantRefused("after a wrong PIN", id, approval.Refused(approval.Pending))
	answer(id, right, pin.Right)
	got, err := w.use(id, useID())
	if err != nil {
		t.Fatal(err)
	}
	var decided int64
	w.people.Get(&decided, `select floor(extract(epoch from decided_at))::bigint from approvals`)
	if claims := w.verify(got.Receipt); claims.Approved.ApprovedAt != decided {
		t.Errorf("approved at %d, want %d", claims.Approved.ApprovedAt, decided)
	}
	id = pending()
	answer(id, right, pin.Right)
	for range 5 {
		if _, err := verifier.Verify(t.Context(), w.key, subject, wrong); err != nil {
			t.Fatal(err)
		}
	}
	w.wantRefused("after a lock", id, approval.ErrChanged)
}

// In a bubble of synctest, the clock of the program says that it is the year 2000. Only Postgres's clock counts.
func TestUseWithAWrongClock(t *testing.T) {
	w := newWorld(t)
	w.db.SetMaxOpenConns(1)
	action, session, first := w.approved(approval.Action, nil), w.approved(approval.Session, nil), useID()
	expired := w.approved(approval.Action, nil)
	w.people.Exec(`update approvals set expires_at = now() where id = $1`, expired)
	if _, err := w.use(w.approved(approval.Action, nil), useID()); err != nil { // prepares the statement and its connection
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if year := time.Now().Year(); year != 2000 {
			t.Fatalf("the clock says %d", year)
		}
		got, err := w.use(action, first)
		if err != nil {
			t.Fatal(err)
		}
		var off float64
		w.people.Get(&off, `select abs(extract(epoch from now() - $1::timestamptz))::float8`, got.UsedAt)
		if claims := w.verify(got.Receipt); off > 60 || claims.IssuedAt != got.UsedAt.Unix() || claims.ExpiresAt != got.UsedAt.Unix()+120 {
			t.Errorf("used at %s, claims %+v", got.UsedAt, claims)
		}
		if again, err := w.use(action, first); err != nil || again.Receipt != got.Receipt {
			t.Errorf("the same use_id: %v, or another receipt", err)
		}
		if _, err := w.use(expired, useID()); !errors.Is(err, approval.Refused(approval.Expired)) {
			t.Errorf("after its time: %v", err)
		}
		opened, err := w.use(session, useID())
		if err != nil || opened.ExpiresAt.Sub(opened.UsedAt) != 30*time.Minute {
			t.Errorf("a session: %+v, %v", opened, err)
		}
	})
}

func TestParallelUsesGiveOneReceipt(t *testing.T) {
	w := newWorld(t)
	for _, same := range []bool{false, true} {
		id, one := w.approved(approval.Action, nil), useID()
		var mu sync.Mutex
		receipts, used := map[string]int{}, 0
		var running sync.WaitGroup
		for range 100 {
			running.Go(func() {
				mine := one
				if !same {
					mine = useID()
				}
				got, err := w.use(id, mine)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					receipts[got.Receipt]++
				case errors.Is(err, approval.Refused(approval.Used)):
					used++
				default:
					t.Error(err)
				}
			})
		}
		running.Wait()
		total := 0
		for _, n := range receipts {
			total += n
		}
		if len(receipts) != 1 || same && total != 100 || !same && (total != 1 || used != 99) {
			t.Errorf("same use_id %t: %d answers with %d receipts, %d refusals", same, total, len(receipts), used)
		}
	}
}

func TestUseIsRefused(t *testing.T) {
	t.Parallel()
	none := func(*world, uuid.UUID) {}
	exec := func(statement string) func(*world, uuid.UUID) {
		return func(w *world, id uuid.UUID) {
			w.people.Exec(strings.NewReplacer("$approval", "'"+id.String()+"'", "$customer", "'"+w.customer.String()+"'").Replace(statement))
		}
	}
	for _, rule := range []struct {
		name       string
		byIdentity bool
		before     func(w *world, id uuid.UUID)
		want       error
	}{
		{"nothing happened", false, none, nil},
		{"nothing happened to an identity", true, none, nil},
		{"pending", false, exec(`update approvals set status = 'pending', holder_id = null, session_generation = null, decided_at = null`), approval.Refused(approval.Pending)},
		{"denied", false, exec(`update approvals set status = 'denied', reason = 'person'`), approval.Refused(approval.Denied)},
		{"cancelled", false, exec(`update approvals set status = 'cancelled'`), approval.Refused(approval.Cancelled)},
		{"expired", false, exec(`update approvals set status = 'expired'`), approval.Refused(approval.Expired)},
		{"time over", false, exec(`update approvals set expires_at = now()`), approval.Refused(approval.Expired)},
		{"written as expired because of the PIN", false, exec(`update approvals set status = 'expired', reason = 'pin_changed'`), approval.ErrChanged},
		{"PIN changed or locked", false, exec(`update pin_holders set session_generation = gen_random_uuid()`), approval.ErrChanged},
		{"locked without a new generation", false, exec(`update pin_holders set locked_until = now() + interval '1 minute'`), approval.ErrChanged},
		{"after a lock", false, exec(`update pin_holders set locked_until = now() - interval '1 minute'`), nil},
		{"deactivated", false, exec(`update pin_holders set deactivated_by = 1`), approval.ErrChanged},
		{"removed", false, exec(`update pin_holders set verifier = null, generation = null, pin_set_at = null`), approval.ErrChanged},
		{"the identity has its own PIN now", true, func(w *world, _ uuid.UUID) { w.holder(w.identity, &w.identity) }, approval.ErrChanged},
		{"another identity has its own PIN", true, func(w *world, _ uuid.UUID) {
			other := w.people.Identity(w.customer, w.instance)
			w.holder(other, &other)
		}, nil},
		{"an identity has its own PIN, and the customer is the subject", false, func(w *world, _ uuid.UUID) { w.holder(w.identity, &w.identity) }, nil},
		{"identity deleted", true, exec(`delete from identities`), approval.ErrNotFound},
		{"identity deleted, and the customer is the subject", false, exec(`delete from identities`), pin.ErrNotWithin},
		{"customer owns the instance", false, exec(`delete from identities; update instances set owner_customer_id = $customer`), nil},
		{"identity moved to another instance", true, exec(`insert into instances (name) values ('other');
			update identities set instance_id = (select id from instances where name = 'other')`), pin.ErrNotWithin},
		{"unknown approval", false, exec(`delete from approvals`), approval.ErrNotFound},
		{"key of another instance", false, func(w *world, _ uuid.UUID) { w.key = w.people.ProxyKey(w.people.Instance()) }, directory.ErrNoInstance},
		{"another instance in the path", false, func(w *world, _ uuid.UUID) { w.instance = w.people.Instance() }, directory.ErrNoInstance},
		{"approval of another instance", false, func(w *world, _ uuid.UUID) {
			w.instance = w.people.Instance()
			w.key = w.people.ProxyKey(w.instance)
		}, approval.ErrNotFound},
		{"key revoked", false, exec(`update proxy_keys set revoked_at = now()`), caller.ErrInvalid},
	} {
		t.Run(rule.name, func(t *testing.T) {
			w := newWorld(t)
			var identity *uuid.UUID
			if rule.byIdentity {
				identity = &w.identity
			}
			id := w.approved(approval.Action, identity)
			rule.before(w, id)
			got, err := w.use(id, useID())
			if !errors.Is(err, rule.want) || (err == nil) != (got.Receipt != "") {
				t.Errorf("%+v, %v, want %v", got, err, rule.want)
			}
			var used int
			if w.people.Get(&used, `select count(*) from approvals where used_at is not null`); used > 0 && rule.want != nil {
				t.Error("the approval was used")
			}
		})
	}
}

func TestUseComparesTheArguments(t *testing.T) {
	w := newWorld(t)
	id := w.approved(approval.Action, nil)
	var invalid *action.Error
	for _, c := range []struct {
		arguments string
		want      error
	}{
		{`{"amount":"12.51","payee":"Ann"}`, approval.ErrArguments}, {`{}`, approval.ErrArguments}, {`{"amount":12.50,"payee":"Ann"}`, approval.ErrArguments},
		{`{"amount":"12.50","payee":"Ann","x":null}`, approval.ErrArguments},
	} {
		if _, err := w.useWith(id, useID(), c.arguments); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.arguments, err, c.want)
		}
	}
	for _, refused := range []string{`{"a":1,"a":1}`, `{"a":9007199254740993}`, `[]`, `null`, `{`} {
		if _, err := w.useWith(id, useID(), refused); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", refused, err)
		}
	}
	for _, wrong := range []string{"", "short", strings.Repeat("a", 21), strings.Repeat("a", 65), strings.Repeat("a", 22) + "!", strings.Repeat("é", 22), strings.Repeat("a", 22) + "\n"} {
		if _, err := w.use(id, wrong); !errors.Is(err, approval.ErrUseID) {
			t.Errorf("use_id %q: %v", wrong, err)
		}
	}
	if w.status(id) != "approved" {
		t.Error("a refused use has used the approval")
	}
	if _, err := w.useWith(id, useID(), "{ \"payee\" : \"\\u0041nn\",\n\"amount\":\"12.50\" }"); err != nil {
		t.Errorf("the same arguments in another spelling: %v", err)
	}
}
