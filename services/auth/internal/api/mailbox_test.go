package api_test

import (
	"bytes"
	"context"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	outbox "github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/prune"
)

const from = "Countersign <no-reply@example.test>"

// letter is a mail that came.
type letter struct {
	to, subject, id string
	// token is that of the link in it; empty: there is no link.
	token string
	raw   string
}

var linkPattern = regexp.MustCompile(`(?m)^(https://\S+)#token=(csl_[0-9a-z]+)\r?$`)

func (d *deployment) read(raw []byte) letter {
	d.t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	must(d.t, err)
	to, err := m.Header.AddressList("To")
	must(d.t, err)
	l := letter{to: to[0].Address, subject: m.Header.Get("Subject"), id: m.Header.Get("Message-Id"), raw: string(raw)}
	if link := linkPattern.FindSubmatch(raw); link != nil {
		l.token = string(link[2])
		d.remember(map[string]any{"token": l.token})
	}
	return l
}

// sends starts a sender beside the replica, and returns what stops it.
func (s *service) sends(config outbox.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sender := outbox.NewSender(config, issuer, s.db, s.app.Outbox, s.log.Logger(), prometheus.NewRegistry())
	var running sync.WaitGroup
	running.Go(func() { sender.Run(ctx) })
	running.Go(func() { prune.Run(ctx, s.log.Logger(), sender.Prune) })
	stop = func() { cancel(); running.Wait() }
	s.t.Cleanup(stop)
	return stop
}

// mailbox is a folder into which mails are written.
type mailbox struct {
	*deployment
	path string
}

// withMail is a service that writes its mails into a folder.
func withMail(t *testing.T) (*service, mailbox) {
	t.Helper()
	s := newService(t)
	m := mailbox{s.deployment, filepath.Join(t.TempDir(), "mails")}
	s.sends(outbox.Config{Folder: m.path, From: from})
	return s, m
}

// all waits until the outbox is empty and returns every mail to an address, the oldest first.
func (m mailbox) all(address string) []letter {
	m.t.Helper()
	m.empty()
	files, err := filepath.Glob(filepath.Join(m.path, "*.eml"))
	must(m.t, err)
	type dated struct {
		at     string
		letter letter
	}
	var found []dated
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(m.t, err)
		if l := m.read(raw); l.to == address {
			name := strings.TrimSuffix(filepath.Base(file), ".eml")
			at := one[string](m.deployment, `select created_at::text from mails where id = $1`, name[len(name)-36:])
			found = append(found, dated{at, l})
		}
	}
	slices.SortFunc(found, func(a, b dated) int { return strings.Compare(a.at, b.at) })
	var letters []letter
	for _, f := range found {
		letters = append(letters, f.letter)
	}
	return letters
}

// last is the newest mail to an address, which has n by now.
func (m mailbox) last(address string, n int) (last letter) {
	m.t.Helper()
	letters := m.all(address)
	if len(letters) != n {
		m.t.Fatalf("%d mails to the address, want %d", len(letters), n)
	}
	for _, last = range letters {
	}
	return last
}

// empty waits until nothing is to be sent any more.
func (d *deployment) empty() {
	d.t.Helper()
	d.eventually("the outbox is not empty", func() bool {
		return one[int](d, `select count(*) from mails where due_at is not null`) == 0
	})
}

func (d *deployment) eventually(otherwise string, is func() bool) {
	d.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("%s\n%s", otherwise, d.log)
		}
	}
}

// later lets time pass, by moving everything that mails have to do with into the past.
func (d *deployment) later(interval string) {
	d.t.Helper()
	d.exec(`update mails set created_at = created_at - $1::interval, expires_at = expires_at - $1::interval, due_at = due_at - $1::interval`, interval)
	d.exec(`update mail_pauses set mailed_at = mailed_at - $1::interval`, interval)
}
