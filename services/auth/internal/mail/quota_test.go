package mail_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

// request requests a mail and reports whether it was stored.
func (d *deployment) request(user uuid.UUID, address string, kind mail.Kind) (stored bool) {
	err := stores.InTransaction(d.t.Context(), d.db, func(tx *sqlx.Tx) (err error) {
		stored, err = d.outbox.Put(d.t.Context(), tx, user, address, kind)
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
	return stored
}

func (d *deployment) userAt(address string) (user uuid.UUID) {
	d.t.Helper()
	d.people.Get(&user, `insert into users (email, password_hash, email_confirmed_at) values ($1, '', now()) returning id`, address)
	return user
}

func TestAddressGetsAtMost5MailsAnHourAnd10ADay(t *testing.T) {
	d := newDeployment(t)
	address := newAddress()
	user := d.userAt(address)
	kinds := []mail.Kind{mail.Confirm, mail.Notice, mail.NewAddress, mail.AddressInUse, mail.Confirm}
	all := func(want int) {
		t.Helper()
		stored := 0
		for i := range 8 {
			if d.request(user, address, kinds[i%len(kinds)]) {
				stored++
			}
		}
		if stored != want {
			t.Errorf("%d mails were stored, want %d", stored, want)
		}
	}
	all(5)
	mailtest.Pass(d.people, "59 minutes")
	all(0)
	mailtest.Pass(d.people, "1 minute")
	all(5)
	mailtest.Pass(d.people, "22 hours 59 minutes")
	all(0)
	mailtest.Pass(d.people, "1 minute") // the first five are a day old
	all(5)
	if n := one[int](d, `select count(*) from mails`); n != 15 {
		t.Errorf("%d mails", n)
	}
	if dump := d.people.Dump(); strings.Contains(strings.ReplaceAll(dump, user.String(), ""), fmt.Sprintf("%x", address[:20])) {
		t.Error("the address is stored in the quota")
	}
}

func TestOnePasswordResetMailAnHourIsOutsideOfTheQuota(t *testing.T) {
	d := newDeployment(t)
	address := newAddress()
	user := d.userAt(address)
	for range 10 {
		d.request(user, address, mail.Confirm)
	}
	want := func(kind mail.Kind, stored bool) {
		t.Helper()
		if d.request(user, address, kind) != stored {
			t.Errorf("%s: stored %v", kind, !stored)
		}
	}
	want(mail.Reset, true)
	want(mail.Reset, false)
	mailtest.Pass(d.people, "1 hour")
	want(mail.Reset, true)
	want(mail.Reset, true) // the second one of this hour counts
	for range 4 {
		want(mail.Confirm, true)
	}
	want(mail.Confirm, false)
	want(mail.Reset, false)
	// Security mails neither count nor stop.
	d.notify(t.Context(), user, mail.PasswordChanged)
	if n := one[int](d, `select count(*) from mails where kind = 'password_changed'`); n != 1 {
		t.Errorf("%d security mails", n)
	}
}

func TestQuotaBelongsToTheAddressAndCountsOnlyMails(t *testing.T) {
	d := newDeployment(t)
	address := newAddress()
	for range 20 {
		d.request(uuid.Nil, address, mail.Confirm) // no user: no mail
	}
	user := d.userAt(newAddress())
	for range 5 {
		if !d.request(user, address, mail.NewAddress) {
			t.Error("a mail was not stored")
		}
	}
	if d.request(d.userAt(address), address, mail.Notice) || !d.request(user, newAddress(), mail.NewAddress) {
		t.Error("the quota is not that of the address")
	}
}

func TestConcurrentRequestsDoNotExceedTheQuota(t *testing.T) {
	d := newDeployment(t)
	address := newAddress()
	user := d.userAt(address)
	var stored atomic.Int32
	var running sync.WaitGroup
	for range 30 {
		running.Go(func() {
			if d.request(user, address, mail.Confirm) {
				stored.Add(1)
			}
		})
	}
	running.Wait()
	if n := stored.Load(); n != 5 {
		t.Errorf("%d mails were stored", n)
	}
}
