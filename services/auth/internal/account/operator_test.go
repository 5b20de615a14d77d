package account_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/password"
)

const ada = "ada@example.test"

// operator calls PutUser on a database of the test's own.
type operator struct {
	t  *testing.T
	db *sqlx.DB
}

func newOperator(t *testing.T) operator {
	t.Parallel()
	return operator{t, storetest.Postgres(t).Open(t, "")}
}

func (o operator) put(role, password string) (generated string) {
	o.t.Helper()
	text, err := account.PutUser(o.t.Context(), o.db, slowhash.NewPool(1, 2), ada, role, secret.New(password))
	if err != nil {
		o.t.Fatal(err)
	}
	return text.Reveal()
}

func (o operator) get(dest any, q string) {
	o.t.Helper()
	if err := o.db.Get(dest, q); err != nil {
		o.t.Fatalf("%s: %v", q, err)
	}
}

func (o operator) exec(q string) {
	o.t.Helper()
	if _, err := o.db.Exec(q); err != nil {
		o.t.Fatalf("%s: %v", q, err)
	}
}

// wantPassword reports an error unless the password is that of a confirmed user with this role.
func (o operator) wantPassword(role, password string) {
	o.t.Helper()
	var hash string
	o.get(&hash, `select coalesce(max(password_hash), '') from users where email_confirmed_at is not null and role = '`+role+`'`)
	place, err := slowhash.NewPool(1, 2).Reserve(uuid.Nil)
	if err != nil {
		o.t.Fatal(err)
	}
	if ok, err := place.Matches(context.Background(), []byte(password), hash); err != nil || !ok {
		o.t.Errorf("the password of the %s is not %q: %v", role, password, err)
	}
}

// audit returns the recorded actions and deletes them.
func (o operator) audit() []string {
	o.t.Helper()
	var actions []string
	if err := o.db.Select(&actions, `select action || coalesce(' ' || (details ->> 'role'), '') from audit order by id`); err != nil {
		o.t.Fatal(err)
	}
	o.exec(`delete from audit`)
	return actions
}

func (o operator) wantAudit(want ...string) {
	o.t.Helper()
	if got := o.audit(); !slices.Equal(got, want) {
		o.t.Errorf("audit rows %q, want %q", got, want)
	}
}

func TestPutUserCreatesAnAdminWithARandomPassword(t *testing.T) {
	o := newOperator(t)
	generated := o.put("admin", "")
	if len(generated) < 20 {
		t.Errorf("the random password has %d characters", len(generated))
	}
	o.wantPassword("admin", generated)
	o.wantAudit("user.create admin")
}

func TestPutUserKeepsThePasswordOfAConfirmedUser(t *testing.T) {
	o := newOperator(t)
	o.put("user", "a password of hers")
	o.wantAudit("user.create user")
	if generated := o.put("admin", ""); generated != "" {
		t.Error("a confirmed user got another password")
	}
	o.wantPassword("admin", "a password of hers")
	o.wantAudit("user.promote admin")
}

// A stranger can sign up with the address of a future admin. The stranger's password must not become the admin's password.
func TestPutUserReplacesThePasswordOfAnUnconfirmedSignup(t *testing.T) {
	o := newOperator(t)
	o.exec(`with u as (insert into users (email, password_hash) values ('` + ada + `', 'chosen by a stranger') returning id),
		     s as (insert into repeated_signups (user_id, password_hash) select id, 'chosen by another stranger' from u)
		insert into mails (id, user_id, kind, token_hash, expires_at)
		select gen_random_uuid(), id, 'confirm', decode(repeat('00', 32), 'hex'), now() + interval '1 day' from u`)
	generated := o.put("admin", "")
	o.wantPassword("admin", generated)
	var open int
	o.get(&open, `select (select count(*) from mails where used_at is null or due_at is not null) + (select count(*) from repeated_signups)`)
	if open != 0 {
		t.Error("a stranger's confirmation mail or password can still be used")
	}
	o.wantAudit("user.promote admin", "password.changed")
}

func TestPutUserWithANewPasswordEndsSessionsAndRenewsTheBudget(t *testing.T) {
	o := newOperator(t)
	o.put("admin", "a password of hers")
	o.exec(`insert into user_sessions (user_id, expires_at) select id, now() + interval '1 day' from users`)
	guesses := budget.Guesses{DB: o.db, Charger: budget.NewCharger(o.db), Kind: budget.Password, Limits: budget.Limits{Attempts: 1, Lock: time.Hour, LockMax: time.Hour}}
	for _, want := range []error{nil, budget.ErrLocked} {
		if _, err := guesses.Charge(t.Context(), ada); !errors.Is(err, want) {
			t.Fatalf("charging a guess: %v, want %v", err, want)
		}
	}
	o.audit()
	o.put("admin", "another password of hers")
	o.wantPassword("admin", "another password of hers")
	var live int
	o.get(&live, `select count(*) from user_sessions where revoked_at is null`)
	if live != 0 {
		t.Errorf("%d sessions of the old password are live", live)
	}
	if _, err := guesses.Charge(t.Context(), ada); err != nil {
		t.Errorf("the guess budget was not renewed: %v", err)
	}
	o.wantAudit("user.promote admin", "password.changed")
}

func TestPutUserRefusesWeakAndMalformedPasswords(t *testing.T) {
	o := newOperator(t)
	for chosen, want := range map[string]error{
		"short":                    password.ErrShort,
		"Password1!":               password.ErrCommon,
		ada:                        password.ErrCommon,
		strings.Repeat("ab9", 342): password.ErrLong,
		"NUL \x00 is not text":     password.ErrText,
		"not UTF-8: \xff\xfe":      password.ErrText,
	} {
		_, err := account.PutUser(t.Context(), o.db, slowhash.NewPool(1, 2), ada, "admin", secret.New(chosen))
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", chosen, err, want)
		}
	}
	var rows int
	o.get(&rows, `select (select count(*) from users) + (select count(*) from audit)`)
	if rows != 0 {
		t.Error("a refused password changed the database")
	}
}

func TestFindUser(t *testing.T) {
	o := newOperator(t)
	if _, err := account.FindUser(t.Context(), o.db, ada); !errors.Is(err, account.ErrNoUser) {
		t.Errorf("an unknown address: %v", err)
	}
	o.put("admin", "")
	user, err := account.FindUser(t.Context(), o.db, ada)
	if err != nil || user.Email != ada || user.Role != "admin" {
		t.Errorf("%+v, %v", user, err)
	}
	for _, c := range []struct {
		except []string
		want   bool
	}{{nil, true}, {[]string{"bob@example.test"}, true}, {[]string{ada, "bob@example.test"}, false}} {
		if got, err := account.HasOthers(t.Context(), o.db, c.except...); err != nil || got != c.want {
			t.Errorf("others than %q: %v, %v", c.except, got, err)
		}
	}
}
