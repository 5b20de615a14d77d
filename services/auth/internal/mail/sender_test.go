package mail_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

const (
	publicURL = "https://auth.example.test"
	oldKey    = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newKey    = "new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	both      = newKey + "," + oldKey
)

// deployment is a database of the test's own, with an outbox and a log.
type deployment struct {
	t      *testing.T
	db     *sqlx.DB
	people storetest.People
	outbox *mail.Outbox
	log    *buffer
}

// buffer is a bytes.Buffer for concurrent use.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newDeployment(t *testing.T) *deployment {
	t.Parallel()
	database := storetest.Postgres(t)
	db := database.Open(t, schema.RoleAuth)
	d := &deployment{t, db, storetest.NewPeople(t, database), nil, &buffer{}}
	d.outbox = d.newOutbox(oldKey)
	return d
}

func (d *deployment) newOutbox(keys string) *mail.Outbox {
	d.t.Helper()
	ring, err := keyring.Parse(keys)
	if err != nil {
		d.t.Fatal(err)
	}
	return mail.NewOutbox(ring)
}

// send runs a sender, with the URL of a mail server.
func (d *deployment) send(url string) (stop func()) {
	return d.sendWith(d.outbox, mail.Config{SMTP: url, From: mailtest.From})
}

func (d *deployment) sendWith(outbox *mail.Outbox, config mail.Config) (stop func()) {
	return mailtest.Send(d.t, config, publicURL, d.db, outbox, slog.New(slog.NewJSONHandler(d.log, nil)))
}

// mailTo puts a confirmation mail to a new user with this address into the outbox.
func (d *deployment) mailTo(address string) (user uuid.UUID) {
	d.t.Helper()
	d.people.Get(&user, `insert into users (email, password_hash) values ($1, '') returning id`, address)
	d.put(user, mail.Confirm)
	return user
}

func (d *deployment) put(user uuid.UUID, kind mail.Kind) {
	d.t.Helper()
	err := stores.InTransaction(d.t.Context(), d.db, func(tx *sqlx.Tx) error {
		_, err := d.outbox.Put(d.t.Context(), tx, user, one[string](d, `select email from users where id = $1`, user), kind)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.outbox.Wake()
}

func newAddress() string { return uuid.NewString() + "@example.test" }

// one returns the value that a query finds.
func one[T any](d *deployment, q string, args ...any) (value T) {
	d.t.Helper()
	d.people.Get(&value, q, args...)
	return value
}

// retry makes every waiting mail due.
func (d *deployment) retry() {
	d.t.Helper()
	d.people.Exec(`update mails set due_at = now() where due_at is not null`)
	d.outbox.Wake()
}

// awaitAttempts waits until the senders have made and recorded n attempts.
func (d *deployment) awaitAttempts(n int) {
	d.t.Helper()
	const q = `select coalesce(sum(tries), 0) from mails where due_at is null or due_at < now() + interval '1 minute'`
	mailtest.Await(d.t, fmt.Sprintf("fewer than %d attempts\n%s", n, d.log), func() bool { return one[int](d, q) >= n })
}

// wantLink checks that a mail has the link that is stored for it, and that the link is valid.
func (d *deployment) wantLink(letter mailtest.Letter) {
	d.t.Helper()
	link, err := token.Parse(token.Link, letter.Token, 0)
	if err != nil {
		d.t.Errorf("no link in\n%s", letter.Raw)
		return
	}
	const q = `select count(*) from mails m join users u on u.id = m.user_id where token_hash = $1 and email = $2 and used_at is null and expires_at > now()`
	if n := one[int](d, q, link.Hash(), letter.To); n != 1 {
		d.t.Error("the link is not valid")
	}
}

func TestMailsAreEncryptedAndAuthenticated(t *testing.T) {
	t.Parallel()
	for scheme, implicit := range map[string]bool{"smtp": false, "smtps": true} {
		t.Run(scheme, func(t *testing.T) {
			d, server := newDeployment(t), serveSMTP(t, smtpServerOptions{implicit: implicit})
			d.send(server.url(scheme, ""))
			address := newAddress()
			d.mailTo(address)
			mailtest.AwaitSent(t, d.people)
			mails := server.mails()
			if len(mails) != 1 || mails[0].to != address || !mails[0].encrypted || !mails[0].authenticated {
				t.Fatalf("%+v\n%s", mails, d.log)
			}
			d.wantLink(mailtest.Parse(t, mails[0].raw))
			if strings.Contains(d.log.String(), smtpPassword) || strings.Contains(d.log.String(), address) {
				t.Error("the log contains the password of the mail server or an address")
			}
		})
	}
}

// The server fails once, and then works.
func TestMailsAreRetriedAfterServerFailures(t *testing.T) {
	t.Parallel()
	refuse := func(at string, code int) func(string, *smtp.Conn) error {
		return func(step string, _ *smtp.Conn) error {
			if step == at {
				return &smtp.SMTPError{Code: code, Message: "the address: ann@example.test"}
			}
			return nil
		}
	}
	disconnect := func(at string) func(string, *smtp.Conn) error {
		return func(step string, c *smtp.Conn) error {
			if step != at {
				return nil
			}
			c.Conn().Close()
			return errors.New("disconnected")
		}
	}
	for _, rule := range []struct {
		name    string
		fail    func(step string, c *smtp.Conn) error
		givenUp bool
		copies  int
	}{
		{"busy: 421 to MAIL", refuse("MAIL", 421), false, 1},
		{"greylisting: 450 to RCPT", refuse("RCPT", 450), false, 1},
		{"no storage: 452 after DATA", refuse("DATA", 452), false, 1},
		{"sender refused: 550 to MAIL", refuse("MAIL", 550), false, 1},
		{"no such mailbox: 550 to RCPT", refuse("RCPT", 550), true, 0},
		{"mail refused: 554 after DATA", refuse("DATA", 554), true, 0},
		{"disconnects at RCPT", disconnect("RCPT"), false, 1},
		{"accepts the mail and disconnects", disconnect("DATA"), false, 2},
	} {
		t.Run(rule.name, func(t *testing.T) {
			d, server := newDeployment(t), serveSMTP(t, smtpServerOptions{})
			server.failWith(rule.fail)
			d.send(server.url("smtp", ""))
			address := newAddress()
			d.mailTo(address)
			d.awaitAttempts(1)
			if waiting := one[int](d, `select count(*) from mails where due_at > now()`); waiting == 1 == rule.givenUp {
				t.Errorf("%d mails wait", waiting)
			}
			server.failWith(nil)
			d.retry()
			mailtest.AwaitSent(t, d.people)
			mails := server.mails()
			if len(mails) != rule.copies {
				t.Fatalf("accepted %d times", len(mails))
			}
			for _, mail := range mails {
				if string(mail.raw) != string(mails[0].raw) {
					t.Errorf("the copies differ:\n%s\n%s", mails[0].raw, mail.raw)
				}
			}
			action := map[bool]string{true: "mail.given_up", false: "mail.sent"}[rule.givenUp]
			if n := one[int](d, `select count(*) from audit where action like 'mail.%' and action = $1`, action); n != 1 {
				t.Errorf("%d audit rows %s", n, action)
			}
			if log := d.log.String(); strings.Contains(log, "ann@") || strings.Contains(log, address) || !strings.Contains(log, "sending a mail failed") {
				t.Errorf("the log contains an address, or no failure:\n%s", log)
			}
			if !rule.givenUp {
				d.wantLink(mailtest.Parse(t, mails[0].raw))
			}
		})
	}
}

func TestSilentServerDoesNotBlockTheSender(t *testing.T) {
	d := newDeployment(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections are accepted and never answered
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	d.send(fmt.Sprintf("smtp://%s?timeout=200ms", silent.Addr()))
	d.mailTo(newAddress())
	d.awaitAttempts(1)
	if n := one[int](d, `select count(*) from mails where due_at > now() and sent_at is null`); n != 1 {
		t.Errorf("%d mails wait", n)
	}
}

func TestMailsAreSentAfterTheServerAndTheSenderRestart(t *testing.T) {
	d := newDeployment(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := closed.Addr().(*net.TCPAddr).Port
	closed.Close()
	stop := d.send(fmt.Sprintf("smtp://localhost:%d", port))
	address := newAddress()
	d.mailTo(address)
	d.awaitAttempts(1)
	d.retry()
	d.awaitAttempts(2)
	stop()
	server := serveSMTP(t, smtpServerOptions{port: port})
	d.retry()
	d.send(server.url("smtp", ""))
	mailtest.AwaitSent(t, d.people)
	if mails := server.mails(); len(mails) != 1 || mails[0].to != address {
		t.Fatalf("%+v", mails)
	}
}

func TestMailsAreNotSentWithoutTheRequiredEncryption(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name, parameters string
		server           smtpServerOptions
		host             string
		sent             bool
	}{
		{"mandatory STARTTLS is not offered", "", smtpServerOptions{withoutTLS: true}, "localhost", false},
		{"opportunistic STARTTLS is not offered", "starttls=opportunistic", smtpServerOptions{withoutTLS: true}, "localhost", true},
		{"opportunistic STARTTLS is offered", "starttls=opportunistic", smtpServerOptions{}, "localhost", true},
		{"STARTTLS is not used", "starttls=none", smtpServerOptions{}, "localhost", true},
		{"the certificate is of another host", "", smtpServerOptions{}, "127.0.0.1", false},
		{"the certificate is of another host, opportunistic", "starttls=opportunistic", smtpServerOptions{}, "127.0.0.1", false},
	} {
		t.Run(rule.name, func(t *testing.T) {
			d, server := newDeployment(t), serveSMTP(t, rule.server)
			d.send(strings.Replace(server.url("smtp", rule.parameters), "localhost", rule.host, 1))
			d.mailTo(newAddress())
			d.awaitAttempts(1)
			if n := len(server.mails()); n == 1 != rule.sent {
				t.Errorf("accepted %d times\n%s", n, d.log)
			}
		})
	}
}

func TestInternationalAddresses(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		address, envelope string
		utf               bool
	}{
		{"ann+tag@example.test", "ann+tag@example.test", false},
		{"ann@παράδειγμα.test", "ann@xn--hxajbheg2az3al.test", false},
		{"δοκιμή@παράδειγμα.test", "δοκιμή@xn--hxajbheg2az3al.test", true},
		{"δοκιμή@παράδειγμα.test", "", false}, // the server does not support SMTPUTF8
	} {
		t.Run(fmt.Sprint(rule), func(t *testing.T) {
			d, server := newDeployment(t), serveSMTP(t, smtpServerOptions{utf: rule.utf})
			d.send(server.url("smtp", ""))
			d.mailTo(rule.address)
			mailtest.AwaitSent(t, d.people)
			mails := server.mails()
			if rule.envelope == "" {
				if n := one[int](d, `select count(*) from audit where action = 'mail.given_up'`); n != 1 || len(mails) != 0 {
					t.Errorf("given up %d times, accepted %d times", n, len(mails))
				}
				return
			}
			if len(mails) != 1 || mails[0].to != rule.envelope {
				t.Fatalf("%+v\n%s", mails, d.log)
			}
			letter := mailtest.Parse(t, mails[0].raw)
			if letter.To != rule.address {
				t.Errorf("to %s", letter.To)
			}
			d.wantLink(letter)
		})
	}
}

func TestOtherSendersWaitForTheLeaseOfAMail(t *testing.T) {
	d, server := newDeployment(t), serveSMTP(t, smtpServerOptions{})
	accepted, release := make(chan bool), make(chan bool)
	server.failWith(func(step string, _ *smtp.Conn) error {
		if step == "DATA" {
			accepted <- true
			<-release
		}
		return nil
	})
	d.send(server.url("smtp", ""))
	d.mailTo(newAddress())
	<-accepted
	if n := one[int](d, `select count(*) from mails where due_at > now() + interval '1 minute' and tries = 1`); n != 1 {
		t.Error("another sender takes the mail at once")
	}
	close(release)
	mailtest.AwaitSent(t, d.people)
	if n := len(server.mails()); n != 1 {
		t.Errorf("accepted %d times", n)
	}
}

func TestExpiredAndWithdrawnMailsAreNotSent(t *testing.T) {
	d, server := newDeployment(t), serveSMTP(t, smtpServerOptions{})
	withdrawnAddress, orphanedAddress := newAddress(), newAddress()
	expired, withdrawn, orphaned := d.mailTo(newAddress()), d.mailTo(withdrawnAddress), d.mailTo(orphanedAddress)
	d.put(withdrawn, mail.Reset)
	set := func(user uuid.UUID, change string) {
		d.people.Exec(`update mails set `+change+` where kind = 'confirm' and user_id = $1`, user)
	}
	set(expired, `expires_at = now()`)
	set(orphaned, `tries = 1, due_at = now() + interval '2 minutes'`) // its sender has stopped
	set(withdrawn, `due_at = now() + interval '1 hour'`)
	d.send(server.url("smtp", ""))
	mailtest.Await(t, "the reset mail is not sent", func() bool { return len(server.mails()) == 1 })
	reset := server.mails()[0]
	link, err := token.Parse(token.Link, mailtest.Parse(t, reset.raw).Token, 0)
	if err != nil {
		t.Fatal(err)
	}
	var used bool
	err = stores.InTransaction(t.Context(), d.db, func(tx *sqlx.Tx) (err error) {
		used, err = mail.UseLinks(t.Context(), tx, withdrawn, link, mail.Confirm, mail.Reset)
		return err
	})
	if err != nil || !used {
		t.Fatalf("used: %v, %v", used, err)
	}
	mailtest.Pass(d.people, "2 hours")
	mailtest.AwaitSent(t, d.people)
	mails := server.mails()
	if len(mails) != 2 || reset.to != withdrawnAddress || mails[1].to != orphanedAddress {
		t.Errorf("%d mails", len(mails))
	}
	if n := one[int](d, `select count(*) from audit where action = 'mail.given_up' and target_id = $1`, expired); n != 1 {
		t.Errorf("given up %d times", n)
	}
}

func TestMailsStayInTheOutboxWithoutAMailServer(t *testing.T) {
	d := newDeployment(t)
	d.mailTo(newAddress())
	d.sendWith(d.outbox, mail.Config{From: mailtest.From})
	mailtest.Await(t, "no warning", func() bool { return strings.Contains(d.log.String(), "neither SMTP_URL nor MAIL_DIR is set") })
	if n := one[int](d, `select count(*) from mails where tries = 0 and due_at is not null`); n != 1 {
		t.Errorf("%d mails wait", n)
	}
}

// A mail that was stored under one key is sent under the next.
func TestLinkKeyRotation(t *testing.T) {
	d, server := newDeployment(t), serveSMTP(t, smtpServerOptions{})
	d.mailTo(newAddress())
	config := mail.Config{SMTP: server.url("smtp", ""), From: mailtest.From}
	d.sendWith(d.newOutbox(newKey), config)
	d.awaitAttempts(1)
	if n := len(server.mails()); n != 0 {
		t.Errorf("%d mails without the key of the link", n)
	}
	d.retry()
	d.sendWith(d.newOutbox(both), config)
	mailtest.Await(t, "the mail is not sent", func() bool { d.retry(); return len(server.mails()) > 0 })
	d.wantLink(mailtest.Parse(t, server.mails()[0].raw))
}
