package mail_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

func (d *deployment) notify(ctx context.Context, user uuid.UUID, kind mail.Kind) {
	d.t.Helper()
	if err := stores.InTransaction(ctx, d.db, func(tx *sqlx.Tx) error { return mail.Notify(ctx, tx, user, kind) }); err != nil {
		d.t.Fatal(err)
	}
}

func TestSecurityMailSaysWhatHappenedAndFromWhere(t *testing.T) {
	d := newDeployment(t)
	address := newAddress()
	box := mailtest.NewBox(t, d.people, publicURL, d.db, d.outbox, discard)
	user := d.mailTo(address)
	d.notify(caller.NewContext(t.Context(), caller.Caller{Kind: caller.User, ID: user, Address: "192.0.2.7"}), user, mail.PasswordChanged)
	if letter := box.Last(address, 2); letter.Subject != "Your password was changed" || letter.Token != "" || strings.Contains(letter.Raw, "http") ||
		!strings.Contains(letter.Raw, "It came from: 192.0.2.7.") || !strings.Contains(letter.Raw, " UTC.") {
		t.Errorf("got\n%s", letter.Raw)
	}
	d.notify(t.Context(), user, mail.FactorRemoved) // the operator's command has no address
	if letter := box.Last(address, 3); !strings.Contains(letter.Raw, "It came from: an administrator of this service.") {
		t.Errorf("got\n%s", letter.Raw)
	}
	for range 12 {
		d.notify(t.Context(), user, mail.FactorRemoved)
	}
	box.Last(address, 12) // a confirmation, a changed password, and 10 of one kind
	d.notify(t.Context(), user, mail.FactorAdded)
	mailtest.Pass(d.people, "1 hour")
	d.notify(t.Context(), user, mail.FactorRemoved)
	box.Last(address, 14)
}

// pinEvent adds a row to the audit trail, as the services that change PINs do.
func (d *deployment) pinEvent(action string, customer uuid.UUID, actorKind string, actor uuid.UUID) {
	d.t.Helper()
	d.people.Exec(`insert into audit (actor_kind, actor_id, action, customer_id, request_id, address) values ($1, nullif($2, '00000000-0000-0000-0000-000000000000'::uuid), $3, $4, 'r', '192.0.2.9')`,
		actorKind, actor, action, customer)
}

func TestPINEventsAreMailedToTheCustomer(t *testing.T) {
	d := newDeployment(t)
	box := mailtest.NewBox(t, d.people, publicURL, d.db, d.outbox, discard)
	customer, other := d.people.Customer(), d.people.Customer()
	address := one[string](d, `select email from customers where id = $1`, customer)
	var own uuid.UUID
	d.people.Get(&own, `insert into users (email, password_hash, email_confirmed_at) values ($1, '', now()) returning id`, address)
	sent := 0
	for _, c := range []struct {
		action, kind string
		actor        uuid.UUID
		subject      string
		source       string
	}{
		{"pin.set", "user", own, "Your PIN was set", "192.0.2.9"},
		{"pin.set", "user", uuid.New(), "Your PIN was set", "an administrator of this service"},
		{"pin.removed", "api_key", uuid.New(), "Your PIN was removed", "an administrator of this service"},
		{"pin.locked", "proxy_key", uuid.New(), "Your PIN is locked", "an agent of this service"},
		{"pin.deactivated", "proxy_key", uuid.New(), "Your PIN is deactivated", "an agent of this service"},
		{"pin.deactivated", "link", uuid.New(), "Your PIN is deactivated", "the approval page"},
		{"pin.set", "link", uuid.Nil, "Your PIN was set", "an enrolment link"},
	} {
		d.pinEvent(c.action, customer, c.kind, c.actor)
		sent++
		letter := box.Last(address, sent)
		if letter.Subject != c.subject || !strings.Contains(letter.Raw, "It came from: "+c.source+".") || letter.Token != "" {
			t.Errorf("%s by %s:\n%s", c.action, c.kind, letter.Raw)
		}
	}
	for _, action := range []string{"pin.unlocked", "pin.refused", "customer.updated"} {
		d.pinEvent(action, customer, "api_key", uuid.New())
	}
	d.pinEvent("pin.set", uuid.New(), "api_key", uuid.New()) // no such customer
	box.Last(address, sent)
	if n := one[int](d, `select count(*) from mails where customer_id <> $1`, customer); n != 0 {
		t.Errorf("%d mails to other customers, for example %s", n, other)
	}
}

func TestLocksOfAPINAreMailedOnceADay(t *testing.T) {
	d := newDeployment(t)
	customer := d.people.Customer()
	address := one[string](d, `select email from customers where id = $1`, customer)
	box := mailtest.NewBox(t, d.people, publicURL, d.db, d.outbox, discard)
	for range 20 {
		d.pinEvent("pin.locked", customer, "proxy_key", uuid.New())
		d.pinEvent("pin.set", customer, "api_key", uuid.New())
	}
	box.Last(address, 11)
	mailtest.Pass(d.people, "23 hours 59 minutes")
	d.pinEvent("pin.locked", customer, "proxy_key", uuid.New())
	box.Last(address, 11)
	mailtest.Pass(d.people, "1 minute")
	d.pinEvent("pin.locked", customer, "proxy_key", uuid.New())
	box.Last(address, 12)
}

// An attacker changes the address while the mail server does not answer.
func TestSecurityMailGoesToTheAddressAtTheEvent(t *testing.T) {
	d := newDeployment(t)
	owner, attacker := newAddress(), newAddress()
	customer := d.people.Customer()
	user := d.userAt(owner)
	d.people.Exec(`update customers set email = $1`, owner)
	d.notify(t.Context(), user, mail.PasswordChanged)
	d.pinEvent("pin.set", customer, "api_key", uuid.New())
	d.people.Exec(`update users set email = $1`, attacker)
	d.people.Exec(`update customers set email = $1`, attacker)
	box := mailtest.NewBox(t, d.people, publicURL, d.db, d.outbox, discard)
	box.Last(owner, 2)
	box.Last(attacker, 0)
}

func TestMailToADeletedCustomerIsGivenUp(t *testing.T) {
	d := newDeployment(t)
	customer := d.people.Customer()
	d.pinEvent("pin.set", customer, "api_key", uuid.New())
	d.people.Exec(`delete from customers where id = $1`, customer)
	box := mailtest.NewBox(t, d.people, publicURL, d.db, d.outbox, discard)
	mailtest.AwaitSent(t, d.people)
	box.Last("", 0)
	mailtest.Await(t, "no audit row", func() bool {
		return one[int](d, `select count(*) from audit where action = 'mail.given_up' and customer_id = $1`, customer) == 1
	})
}

var discard = slog.New(slog.DiscardHandler)
