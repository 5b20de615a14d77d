package password_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/argon2"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/password"
)

const wrong = "Wrong-canary-1"

// deployment is a database of the test's own. Each replica has Passwords of its own.
type deployment struct {
	t      *testing.T
	db     *sqlx.DB
	people storetest.People
}

func newDeployment(t *testing.T) deployment {
	t.Parallel()
	database := storetest.Postgres(t)
	db := database.Open(t, schema.RoleAuth)
	return deployment{t, db, storetest.NewPeople(t, database)}
}

type replica struct {
	deployment
	*password.Passwords
	networks *network.Networks
	registry *prometheus.Registry
}

func (d deployment) replica() replica { return d.replicaWith(slowhash.NewPool(2, 400)) }

func (d deployment) replicaWith(pool *slowhash.Pool) replica {
	d.t.Helper()
	ring, err := keyring.Parse("old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		d.t.Fatal(err)
	}
	registry, networks := prometheus.NewRegistry(), &network.Networks{DB: d.db, Ring: ring}
	return replica{d, password.New(password.DefaultBudget, d.db, budget.NewCharger(d.db), pool, networks, registry), networks, registry}
}

// comparisons returns the value of the metric.
func (r replica) comparisons() int {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "password_comparisons_total" {
		r.t.Fatalf("%v, %v", families, err)
	}
	return int(families[0].GetMetric()[0].GetCounter().GetValue())
}

// one returns the value that a query finds.
func one[T any](d deployment, q string, args ...any) (value T) {
	d.t.Helper()
	d.people.Get(&value, q, args...)
	return value
}

func newAddress() string { return uuid.NewString() + "@example.test" }

// user adds a user with this password.
func (r replica) user(text string) (id uuid.UUID, email string) {
	r.t.Helper()
	hash, err := r.Hash(r.t.Context(), secret.New(text))
	if err != nil {
		r.t.Fatal(err)
	}
	email = newAddress()
	r.people.Get(&id, `insert into users (email, password_hash, email_confirmed_at) values ($1, $2, now()) returning id`, email, hash)
	return id, email
}

func (r replica) compare(email, candidate string) (password.Comparison, error) {
	return r.Compare(r.t.Context(), email, secret.New(candidate))
}

func (r replica) wantRight(email, candidate string, right bool) {
	r.t.Helper()
	if c, err := r.compare(email, candidate); err != nil || c.Right != right {
		r.t.Errorf("right %v, want %v: %v", c.Right, right, err)
	}
}

// charge charges n attempts to an address without a comparison.
func (d deployment) charge(email string, n int) {
	d.t.Helper()
	guesses := budget.Guesses{DB: d.db, Charger: budget.NewCharger(d.db), Kind: budget.Password, Limits: password.DefaultBudget}
	for range n {
		if _, err := guesses.Charge(d.t.Context(), email); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d deployment) endLocks() { d.people.Exec(`update guess_budgets set locked_until = now()`) }

// wantLocked checks for a lock of at most this duration, and returns its remaining time.
func (r replica) wantLocked(email, candidate string, longest time.Duration) time.Duration {
	r.t.Helper()
	_, err := r.compare(email, candidate)
	var lock *fault.Error
	if !errors.Is(err, budget.ErrLocked) || !errors.As(err, &lock) || lock.After < time.Second || lock.After > longest {
		r.t.Errorf("got %v", err)
		return 0
	}
	return lock.After
}

func TestConcurrentGuessesAreComparedTenTimes(t *testing.T) {
	d := newDeployment(t)
	first, second := d.replica(), d.replica()
	_, known := first.user("the right password")
	want := 0
	for name, email := range map[string]string{"a known address": known, "an unknown address": newAddress()} {
		var running sync.WaitGroup
		for i := range 40 {
			running.Go(func() {
				err := charged(func() error {
					c, err := []replica{first, second}[i%2].compare(email, wrong)
					if c.Right {
						t.Errorf("%s: a wrong password is right", name)
					}
					return err
				})
				if err != nil && !errors.Is(err, budget.ErrLocked) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		running.Wait()
		if want += 10; first.comparisons()+second.comparisons() != want {
			t.Errorf("%s: %d comparisons in total, want %d", name, first.comparisons()+second.comparisons(), want)
		}
	}
}

// charged repeats an attempt until it is charged or refused: on a busy machine, it may wait too long for its turn.
func charged(attempt func() error) error {
	for {
		if err := attempt(); !errors.Is(err, budget.ErrNotCharged) {
			return err
		}
	}
}

func from(address string) context.Context {
	return caller.NewContext(context.Background(), caller.Caller{Kind: caller.Anonymous, Address: address})
}

// Strangers, each known network and the user's sessions guess at the same time, at two replicas.
func TestEachOfTheThreeKindsOfCallersIsComparedTenTimes(t *testing.T) {
	d := newDeployment(t)
	first, second := d.replica(), d.replica()
	id, email := first.user("the right password")
	const home, office = "203.0.113.7", "2001:db8:1:2::1"
	for _, address := range []string{home, office} {
		err := stores.InTransaction(t.Context(), d.db, func(tx *sqlx.Tx) error {
			_, err := first.networks.Remember(from(address), tx, id)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	storm := map[string]func(r replica, n int) error{}
	for _, address := range []string{home, office} {
		storm[address] = func(r replica, _ int) error {
			_, err := r.Compare(from(address), email, secret.New(wrong))
			return err
		}
	}
	storm["strangers"] = func(r replica, n int) error {
		_, err := r.Compare(from(fmt.Sprintf("198.51.100.%d", n)), email, secret.New(wrong))
		return err
	}
	storm["sessions"] = func(r replica, n int) error {
		signedIn := caller.Caller{Kind: caller.User, ID: id, Email: email, SessionID: uuid.New(), Address: fmt.Sprintf("198.51.100.%d", n)}
		_, err := r.Prove(caller.NewContext(t.Context(), signedIn), "password.refused", secret.New(wrong))
		if errors.Is(err, password.ErrWrong) {
			return nil
		}
		return err
	}
	var compared sync.Map
	var running sync.WaitGroup
	for who, guess := range storm {
		compared.Store(who, &atomic.Int64{})
		for n := range 30 {
			running.Go(func() {
				switch err := charged(func() error { return guess([]replica{first, second}[n%2], n) }); {
				case err == nil:
					count, _ := compared.Load(who)
					count.(*atomic.Int64).Add(1)
				case !errors.Is(err, budget.ErrLocked):
					t.Errorf("%s: %v", who, err)
				}
			})
		}
	}
	running.Wait()
	for who := range storm {
		if count, _ := compared.Load(who); count.(*atomic.Int64).Load() != 10 {
			t.Errorf("%s: %d comparisons, want 10", who, count.(*atomic.Int64).Load())
		}
	}
	if n := first.comparisons() + second.comparisons(); n != 40 {
		t.Errorf("%d comparisons in total, want 40", n)
	}
}

func TestHundredWrongPasswordsUseUpABudget(t *testing.T) {
	r := newDeployment(t).replica()
	_, known := r.user("the right password")
	for name, email := range map[string]string{"a known address": known, "an unknown address": newAddress()} {
		for range 10 {
			r.charge(email, 10)
			r.endLocks()
		}
		before := r.comparisons()
		if _, err := r.compare(email, "the right password"); !errors.Is(err, password.ErrUsedUp) || r.comparisons() != before {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLockRefusesTheRightPasswordWithoutAComparison(t *testing.T) {
	r := newDeployment(t).replica()
	_, known := r.user("the right password")
	for name, email := range map[string]string{"a known address": known, "an unknown address": newAddress()} {
		r.charge(email, 9)
		r.wantRight(email, wrong, false)
		before := r.comparisons()
		r.wantLocked(email, "the right password", time.Minute)
		if n := r.comparisons() - before; n != 0 {
			t.Errorf("%s: %d comparisons while it is locked", name, n)
		}
	}
	const q = `select count(*) from audit a left join users u on u.id = a.target_id where action = 'password.locked' and coalesce(u.email, '') = $1`
	for _, email := range []string{known, ""} {
		if n := one[int](r.deployment, q, email); n != 1 {
			t.Errorf("%d audit rows of locks of %q", n, email)
		}
	}
	r.endLocks()
	r.charge(known, 9)
	r.wantRight(known, wrong, false)
	if remaining := r.wantLocked(known, wrong, 2*time.Minute); remaining <= time.Minute {
		t.Errorf("the second lock lasts %s", remaining)
	}
	r.endLocks()
	r.wantRight(known, "the right password", true)
}

func TestRightPasswordForgivesAttempts(t *testing.T) {
	r := newDeployment(t).replica()
	_, email := r.user("the right password")
	for range 2 {
		r.charge(email, 9)
		r.wantRight(email, "the right password", true)
	}
}

func TestGuessWithoutAnOutcomeIsCharged(t *testing.T) {
	d := newDeployment(t)
	r, blocked := d.replica(), d.replicaWith(slowhash.NewPool(0, 400)) // without permits, nothing is ever hashed
	_, known := r.user("the right password")
	for name, email := range map[string]string{"a known address": known, "an unknown address": newAddress()} {
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := blocked.Compare(ctx, email, secret.New("the right password")); err == nil || errors.Is(err, budget.ErrLocked) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.wantLocked(email, "the right password", time.Minute)
	}
}

func TestFullPoolChargesNothing(t *testing.T) {
	d := newDeployment(t)
	_, email := d.replica().user("the right password")
	full := d.replicaWith(slowhash.NewPool(0, 0))
	for range 11 {
		if _, err := full.compare(email, wrong); !errors.Is(err, slowhash.ErrBusy) {
			t.Errorf("got %v", err)
		}
	}
	if n := one[int](d, `select count(*) from guess_budgets`); n != 0 {
		t.Errorf("%d budgets were charged", n)
	}
}

// In a pool without permits, a request keeps its place until its context ends. So a request that gets a place fails with the
// context's error, and not with ErrBusy.
func TestStrangersNetworkAndEachUserAreHashingTenants(t *testing.T) {
	d := newDeployment(t)
	id, email := d.replica().user("the right password")
	r := d.replicaWith(slowhash.NewPool(0, 8))
	crowd, end := context.WithCancel(from("2001:db8:1::1"))
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	compared := make(chan error, 5)
	for range 5 { // with 8 places, a tenant alone gets 4
		running.Go(func() {
			_, err := r.Compare(crowd, newAddress(), secret.New(wrong))
			compared <- err
		})
	}
	if err := <-compared; !errors.Is(err, slowhash.ErrBusy) {
		t.Fatalf("got %v", err)
	}
	user := caller.NewContext(t.Context(), caller.Caller{Kind: caller.User, ID: id, Email: email, Address: "2001:db8:1::1"})
	prove := func(ctx context.Context) error {
		_, err := r.Prove(ctx, "password.refused", secret.New(wrong))
		return err
	}
	hash := func(ctx context.Context) error {
		_, err := r.Hash(ctx, secret.New(wrong))
		return err
	}
	signUp := func(ctx context.Context) error {
		_, err := r.HashSignup(ctx, newAddress(), secret.New(wrong))
		return err
	}
	for _, rule := range []struct {
		name   string
		ctx    context.Context
		act    func(context.Context) error
		served bool
	}{
		{"the same /48", from("2001:db8:1:ffff::2"), hash, false},
		{"a signup from the same /48", from("2001:db8:1:ffff::2"), signUp, false},
		{"another network", from("2001:db8:2::1"), hash, true},
		{"an IPv4 address", from("203.0.113.7"), signUp, true},
		{"a signed-in user in the same network", user, prove, true},
		{"a new password of a signed-in user", user, hash, true},
	} {
		ctx, cancel := context.WithTimeout(rule.ctx, 300*time.Millisecond)
		if err := rule.act(ctx); errors.Is(err, slowhash.ErrBusy) == rule.served || err == nil {
			t.Errorf("%s: %v", rule.name, err)
		}
		cancel()
	}
}

// In a pool without permits, a comparison waits until the context ends. So the error shows that Compare began a comparison.
func TestUnknownAddressIsComparedToo(t *testing.T) {
	d := newDeployment(t)
	_, known := d.replica().user("the right password")
	blocked := d.replicaWith(slowhash.NewPool(0, 10))
	for name, email := range map[string]string{"a known address": known, "an unknown address": newAddress()} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if _, err := blocked.Compare(ctx, email, secret.New(wrong)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// Each spelling of an address has its own budget. So only one spelling is accepted, although lower() in Postgres accepts more.
func TestOnlyTheStoredSpellingOfAnAddressIsAccepted(t *testing.T) {
	r := newDeployment(t).replica()
	_, email := r.user("the right password")
	r.people.Exec(`update users set email = upper(email)`)
	if c, err := r.compare(email, "the right password"); err != nil || c.Right || c.User.ID != uuid.Nil {
		t.Errorf("%+v, %v", c, err)
	}
	r.people.Exec(`update users set email = lower(email)`)
	r.wantRight(email, "the right password", true)
}

func TestOutdatedHashIsRenewedByTheRightPassword(t *testing.T) {
	r := newDeployment(t).replica()
	_, email := r.user("the right password")
	salt, text := []byte("sixteen bytes it"), base64.RawStdEncoding.EncodeToString
	outdated := fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", text(salt), text(argon2.IDKey([]byte("the right password"), salt, 1, 64, 1, 32)))
	r.people.Exec(`update users set password_hash = $1`, outdated)
	generation := one[uuid.UUID](r.deployment, `select password_generation from users`)
	r.wantRight(email, wrong, false)
	if hash := one[string](r.deployment, `select password_hash from users`); hash != outdated {
		t.Errorf("a wrong password renewed the hash: %s", hash)
	}
	r.wantRight(email, "the right password", true)
	if hash := one[string](r.deployment, `select password_hash from users`); slowhash.Outdated(hash, "") {
		t.Errorf("the hash is still outdated: %s", hash)
	}
	if one[uuid.UUID](r.deployment, `select password_generation from users`) != generation {
		t.Error("the password has another generation")
	}
	r.wantRight(email, "the right password", true)
}

func TestPasswordIsAcceptedInEveryUnicodeForm(t *testing.T) {
	r := newDeployment(t).replica()
	const composed, decomposed = "Pässwörter-Canary", "Pa\u0308sswo\u0308rter-Canary"
	_, email := r.user(decomposed)
	r.wantRight(email, composed, true)
	r.wantRight(email, decomposed, true)
}

func TestConcurrentChangesReplaceThePasswordOnce(t *testing.T) {
	d := newDeployment(t)
	replicas := []replica{d.replica(), d.replica()}
	id, email := replicas[0].user("the right password")
	ctx := caller.NewContext(t.Context(), caller.Caller{Kind: caller.User, ID: id, Email: email})
	var changed atomic.Int64
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			switch err := replicas[i%2].Change(ctx, secret.New("the right password"), secret.New("Canary-"+uuid.NewString())); {
			case err == nil:
				changed.Add(1)
			case !errors.Is(err, password.ErrWrong):
				t.Errorf("got %v", err)
			}
		})
	}
	running.Wait()
	if changed.Load() != 1 {
		t.Errorf("changed %d times", changed.Load())
	}
}
