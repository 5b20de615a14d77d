// Package mailtest reads the mails that a test causes. Mails are delivered as files to a folder of the test.
package mailtest

import (
	"bytes"
	"context"
	"log/slog"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/internal/mail"
)

// From is the sender of the mails.
const From = "Countersign <no-reply@example.test>"

// Letter is a delivered mail.
type Letter struct {
	To, Subject, ID string
	// Token is the token of the mail's link, empty if there is no link.
	Token string
	// Raw is the mail in the format of RFC 5322.
	Raw string
}

var linkPattern = regexp.MustCompile(`(?m)^(https://\S+)#token=(csl_[0-9a-z]+)\r?$`)

// Parse reads a mail.
func Parse(t testing.TB, raw []byte) Letter {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("reading a mail: %v", err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil {
		t.Fatalf("reading the recipient of a mail: %v", err)
	}
	l := Letter{To: to[0].Address, Subject: m.Header.Get("Subject"), ID: m.Header.Get("Message-Id"), Raw: string(raw)}
	if link := linkPattern.FindSubmatch(raw); link != nil {
		l.Token = string(link[2])
	}
	return l
}

// Send runs a sender until the end of the test, or until stop is called.
func Send(t testing.TB, config mail.Config, publicURL string, db *sqlx.DB, outbox *mail.Outbox, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sender := mail.NewSender(config, publicURL, db, outbox, log, prometheus.NewRegistry())
	var running sync.WaitGroup
	running.Go(func() { sender.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// Box is a folder with the mails of one database.
type Box struct {
	Folder string

	t      testing.TB
	people storetest.People
}

// NewBox runs a sender that delivers to a folder.
func NewBox(t testing.TB, people storetest.People, publicURL string, db *sqlx.DB, outbox *mail.Outbox, log *slog.Logger) Box {
	t.Helper()
	b := Box{Folder: filepath.Join(t.TempDir(), "mails"), t: t, people: people}
	Send(t, mail.Config{Folder: b.Folder, From: From}, publicURL, db, outbox, log)
	return b
}

// All waits until no mail is to be sent, and returns the mails to an address, oldest first.
func (b Box) All(address string) []Letter {
	b.t.Helper()
	AwaitSent(b.t, b.people)
	files, err := filepath.Glob(filepath.Join(b.Folder, "*.eml"))
	if err != nil {
		b.t.Fatal(err)
	}
	type dated struct {
		at     string
		letter Letter
	}
	var found []dated
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			b.t.Fatal(err)
		}
		if l := Parse(b.t, raw); l.To == address {
			name := strings.TrimSuffix(filepath.Base(file), ".eml")
			var at string
			b.people.Get(&at, `select created_at::text from mails where id = $1`, name[len(name)-36:])
			found = append(found, dated{at, l})
		}
	}
	slices.SortFunc(found, func(a, b dated) int { return strings.Compare(a.at, b.at) })
	var letters []Letter
	for _, f := range found {
		letters = append(letters, f.letter)
	}
	return letters
}

// Last waits until no mail is to be sent, and returns the newest mail to an address. The test fails unless there are n.
func (b Box) Last(address string, n int) Letter {
	b.t.Helper()
	letters := b.All(address)
	if len(letters) != n {
		b.t.Fatalf("%d mails to the address, want %d", len(letters), n)
	}
	if n == 0 {
		return Letter{}
	}
	return letters[n-1]
}

// AwaitSent waits until no mail is to be sent.
func AwaitSent(t testing.TB, people storetest.People) {
	t.Helper()
	Await(t, "the outbox is not empty", func() bool {
		var waiting int
		people.Get(&waiting, `select count(*) from mails where due_at is not null`)
		return waiting == 0
	})
}

// Await waits until a condition is true. After 2 minutes the test fails with the text failure.
func Await(t testing.TB, failure string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(failure)
		}
	}
}

// Pass moves all mails, pauses and quotas into the past by an interval.
func Pass(people storetest.People, interval string) {
	people.Exec(`update mails set created_at = created_at - $1::interval, expires_at = expires_at - $1::interval, due_at = due_at - $1::interval`, interval)
	people.Exec(`update mail_pauses set mailed_at = mailed_at - $1::interval`, interval)
	people.Exec(`update mail_quotas set mailed = array(select t - $1::interval from unnest(mailed) with ordinality m (t, n) order by n), reset_at = reset_at - $1::interval`, interval)
}
