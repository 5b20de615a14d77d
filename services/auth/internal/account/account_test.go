package account_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// deployment is Accounts with a database of the test's own, and a mailbox.
type deployment struct {
	*account.Accounts
	t      *testing.T
	db     *sqlx.DB
	people storetest.People
	box    mailtest.Box
	pool   *slowhash.Pool
}

func newDeployment(t *testing.T) *deployment {
	t.Parallel()
	database := storetest.Postgres(t)
	db := database.Open(t, schema.RoleAuth)
	ring, err := keyring.Parse("old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{t: t, db: db, people: storetest.NewPeople(t, database), pool: slowhash.NewPool(2, 400)}
	networks := &network.Networks{DB: db, Ring: ring}
	passwords := password.New(password.DefaultBudget, db, budget.NewCharger(db), d.pool, networks, prometheus.NewRegistry())
	d.Accounts = &account.Accounts{DB: db, Passwords: passwords, Networks: networks, Outbox: mail.NewOutbox(ring)}
	d.box = mailtest.NewBox(t, d.people, "https://auth.example.test", db, d.Outbox, slog.New(slog.DiscardHandler))
	return d
}

// one returns the value that a query finds.
func one[T any](d *deployment, q string, args ...any) (value T) {
	d.t.Helper()
	d.people.Get(&value, q, args...)
	return value
}

func newAddress() string  { return uuid.NewString() + "@example.test" }
func newPassword() string { return "Canary-" + uuid.NewString() }

func (d *deployment) pass(interval string) { mailtest.Pass(d.people, interval) }

func (d *deployment) signUp(email, password string) account.User {
	d.t.Helper()
	user, err := d.Signup(d.t.Context(), email, secret.New(password))
	if err != nil {
		d.t.Error(err)
	}
	return user
}

// confirm follows a confirmation link. It reports whether the link confirmed the address.
func (d *deployment) confirm(token string) (first bool) {
	d.t.Helper()
	_, first, err := d.Confirm(d.t.Context(), secret.New(token), account.Choice{})
	if err != nil {
		d.t.Error(err)
	}
	return first
}

func (d *deployment) forgot(email string) {
	d.t.Helper()
	if err := d.Forgot(d.t.Context(), email); err != nil {
		d.t.Error(err)
	}
}

func (d *deployment) reset(token, password string) error {
	return d.Reset(d.t.Context(), secret.New(token), secret.New(password))
}

// wantPassword checks whether a password is that of the address.
func (d *deployment) wantPassword(email, password string, right bool) {
	d.t.Helper()
	compared, err := d.Passwords.Compare(d.t.Context(), email, secret.New(password))
	if err != nil || compared.Right != right {
		d.t.Errorf("right %v, want %v: %v", compared.Right, right, err)
	}
}

func TestLinksAndPasswordsAreNotStored(t *testing.T) {
	d := newDeployment(t)
	email, chosen, next := newAddress(), newPassword(), newPassword()
	d.signUp(email, chosen)
	d.forgot(email)
	before := d.people.Dump()
	letters := d.box.All(email)
	if len(letters) != 2 {
		t.Fatalf("%d mails", len(letters))
	}
	d.confirm(letters[0].Token)
	if err := d.reset(letters[1].Token, next); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(before, email) {
		t.Error("the dump does not contain the user")
	}
	for _, text := range []string{chosen, next, letters[0].Token, letters[1].Token} {
		for _, dump := range []string{before, d.people.Dump()} {
			if strings.Contains(dump, text) || strings.Contains(dump, strings.TrimPrefix(text, "csl_")) {
				t.Errorf("stored: %.8s…", text)
			}
		}
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
