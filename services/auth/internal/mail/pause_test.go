package mail_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

func (d *deployment) ask(kind mail.Kind, address string, first bool) (wait time.Duration) {
	err := stores.InTransaction(d.t.Context(), d.db, func(tx *sqlx.Tx) (err error) {
		wait, err = d.outbox.Ask(d.t.Context(), tx, kind, address, first)
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
	return wait
}

func TestOneMailAMinuteForEachPurpose(t *testing.T) {
	d := newDeployment(t)
	address := newAddress()
	want := func(kind mail.Kind, may bool) {
		t.Helper()
		if wait := d.ask(kind, address, false); may != (wait == 0) || wait < 0 || wait > mail.Pause {
			t.Errorf("%s: wait %s", kind, wait)
		}
	}
	want(mail.Confirm, true)
	want(mail.Confirm, false)
	want(mail.Notice, false)
	want(mail.Reset, true)
	want(mail.Reset, false)
	mailtest.Pass(d.people, "30 seconds")
	want(mail.Confirm, false)
	mailtest.Pass(d.people, "30 seconds")
	want(mail.Notice, true)
	want(mail.Confirm, false)
	if wait := d.ask(mail.Confirm, address, true); wait != 0 {
		t.Errorf("the first signup waits %s", wait)
	}
	if dump := d.people.Dump(); strings.Contains(dump, address) || strings.Contains(dump, fmt.Sprintf("%x", address[:20])) {
		t.Error("the address is stored")
	}
}

func TestConcurrentRequestsForAMailGetOne(t *testing.T) {
	d := newDeployment(t)
	address := newAddress()
	for range 2 {
		var granted atomic.Int32
		var running sync.WaitGroup
		for range 30 {
			running.Go(func() {
				if d.ask(mail.Confirm, address, false) == 0 {
					granted.Add(1)
				}
			})
		}
		running.Wait()
		if n := granted.Load(); n != 1 {
			t.Errorf("%d of 30 may send a mail", n)
		}
		mailtest.Pass(d.people, "1 minute")
	}
}
