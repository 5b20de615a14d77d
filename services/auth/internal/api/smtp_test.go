package api_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	outbox "github.com/countersign/countersign/services/auth/internal/mail"
)

// through lets a replica send by a server, with the URL's parameters.
func (s *service) through(url string) { s.sends(outbox.Config{SMTP: url, From: from}) }

// due lets every mail that waits for its next try have it.
func (d *deployment) due() {
	d.t.Helper()
	d.exec(`update mails set due_at = now() where due_at is not null`)
}

// tried waits until the mails were tried so often in sum, and what came of it is written down.
func (d *deployment) tried(n int) {
	d.t.Helper()
	const q = `select coalesce(sum(tries), 0) from mails where due_at is null or due_at < now() + interval '1 minute'`
	d.eventually(fmt.Sprintf("not tried %d times", n), func() bool { return one[int](d, q) >= n })
}

func TestFromSignupToLoginThroughAMailServer(t *testing.T) {
	t.Parallel()
	for scheme, implicit := range map[string]bool{"smtp": false, "smtps": true} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s, server := newService(t), serveMail(t, mailServerOptions{implicit: implicit})
			s.through(server.url(scheme, ""))
			p := s.signedUp()
			s.empty()
			mails := server.mails()
			if len(mails) != 1 || mails[0].to != p.email || !mails[0].encrypted || !mails[0].authenticated {
				t.Fatalf("%+v\n%s", mails, s.log)
			}
			s.want(s.verify(s.read(mails[0].raw).token), http.StatusOK)
			s.login(p)
			if strings.Contains(s.log.String(), smtpPassword) || strings.Contains(s.log.String(), p.email) {
				t.Error("the password of the mail server or an address was logged")
			}
		})
	}
}

// TestMailsSurviveWhatMailServersDo lets a server fail once, in each way, and then behave.
func TestMailsSurviveWhatMailServersDo(t *testing.T) {
	t.Parallel()
	refuse := func(at string, code int) func(string, *smtp.Conn) error {
		return func(step string, _ *smtp.Conn) error {
			if step == at {
				return &smtp.SMTPError{Code: code, Message: "I repeat the address: ann@example.test"}
			}
			return nil
		}
	}
	hangUp := func(at string) func(string, *smtp.Conn) error {
		return func(step string, c *smtp.Conn) error {
			if step != at {
				return nil
			}
			c.Conn().Close()
			return errors.New("gone")
		}
	}
	for _, rule := range []struct {
		name      string
		misbehave func(step string, c *smtp.Conn) error
		givenUp   bool
		copies    int
	}{
		{"is busy (421 to MAIL)", refuse("MAIL", 421), false, 1},
		{"greylists (450 to RCPT)", refuse("RCPT", 450), false, 1},
		{"has no room (452 after DATA)", refuse("DATA", 452), false, 1},
		{"does not let us send (550 to MAIL)", refuse("MAIL", 550), false, 1},
		{"knows no such mailbox (550 to RCPT)", refuse("RCPT", 550), true, 0},
		{"does not like the mail (554 after DATA)", refuse("DATA", 554), true, 0},
		{"hangs up at RCPT", hangUp("RCPT"), false, 1},
		{"takes the mail and dies after DATA", hangUp("DATA"), false, 2},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			s, server := newService(t), serveMail(t, mailServerOptions{})
			server.tell(rule.misbehave)
			s.through(server.url("smtp", ""))
			p := s.signedUp()
			s.tried(1)
			if waiting := one[int](s.deployment, `select count(*) from mails where due_at > now()`); waiting == 1 == rule.givenUp {
				t.Errorf("%d mails wait", waiting)
			}
			server.tell(nil)
			s.due()
			s.app.Outbox.Wake()
			s.empty()
			mails := server.mails()
			if len(mails) != rule.copies {
				t.Fatalf("came %d times", len(mails))
			}
			for _, mail := range mails {
				if string(mail.raw) != string(mails[0].raw) {
					t.Errorf("the copies differ:\n%s\n%s", mails[0].raw, mail.raw)
				}
			}
			action := map[bool]string{true: "mail.given_up", false: "mail.sent"}[rule.givenUp]
			if n := one[int](s.deployment, `select count(*) from audit where action like 'mail.%' and action = $1`, action); n != 1 {
				t.Errorf("%d times %s in the audit trail", n, action)
			}
			if log := s.log.String(); strings.Contains(log, "ann@") || strings.Contains(log, p.email) || !strings.Contains(log, "sending a mail failed") {
				t.Errorf("an address was logged, or nothing:\n%s", log)
			}
			if !rule.givenUp {
				s.want(s.verify(s.read(mails[0].raw).token), http.StatusOK)
				s.login(p)
			}
		})
	}
}

func TestAServerThatHangsKeepsNobody(t *testing.T) {
	t.Parallel()
	s := newService(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and nobody speaks
	must(t, err)
	defer silent.Close()
	s.through(fmt.Sprintf("smtp://%s?timeout=200ms", silent.Addr()))
	s.signedUp()
	s.tried(1)
	if n := one[int](s.deployment, `select count(*) from mails where due_at > now() and sent_at is null`); n != 1 {
		t.Errorf("%d mails wait", n)
	}
}

func TestAServerThatIsDownAndComesBack(t *testing.T) {
	t.Parallel()
	s := newService(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := gone.Addr().(*net.TCPAddr).Port
	gone.Close()
	stop := s.sends(outbox.Config{SMTP: fmt.Sprintf("smtp://localhost:%d", port), From: from})
	p := s.signedUp()
	s.tried(1)
	s.due()
	s.app.Outbox.Wake()
	s.tried(2)
	stop() // a restart forgets nothing
	server := serveMail(t, mailServerOptions{port: port})
	s.due()
	s.replica(oldKey).through(server.url("smtp", ""))
	s.empty()
	if mails := server.mails(); len(mails) != 1 || mails[0].to != p.email {
		t.Fatalf("%+v", mails)
	}
}

func TestNothingIsSentWithoutTheEncryptionThatIsDemanded(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name, parameters string
		server           mailServerOptions
		host             string
		sent             bool
	}{
		{"STARTTLS is not offered", "", mailServerOptions{withoutTLS: true}, "localhost", false},
		{"and need not be", "starttls=opportunistic", mailServerOptions{withoutTLS: true}, "localhost", true},
		{"STARTTLS is offered and need not be", "starttls=opportunistic", mailServerOptions{}, "localhost", true},
		{"STARTTLS is not wanted", "starttls=none", mailServerOptions{}, "localhost", true},
		{"the certificate is another's", "", mailServerOptions{}, "127.0.0.1", false},
		{"the certificate is another's, opportunistic", "starttls=opportunistic", mailServerOptions{}, "127.0.0.1", false},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			s, server := newService(t), serveMail(t, rule.server)
			s.through(strings.Replace(server.url("smtp", rule.parameters), "localhost", rule.host, 1))
			s.signedUp()
			s.tried(1)
			if n := len(server.mails()); n == 1 != rule.sent {
				t.Errorf("came %d times\n%s", n, s.log)
			}
		})
	}
}

func TestAddressesOfEveryScript(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		address, envelope string
		utf               bool
	}{
		{"ann+tag@example.test", "ann+tag@example.test", false},
		{"ann@παράδειγμα.test", "ann@xn--hxajbheg2az3al.test", false},
		{"δοκιμή@παράδειγμα.test", "δοκιμή@xn--hxajbheg2az3al.test", true},
		{"δοκιμή@παράδειγμα.test", "", false}, // a server that has never heard of it
	} {
		t.Run(fmt.Sprint(rule), func(t *testing.T) {
			t.Parallel()
			s, server := newService(t), serveMail(t, mailServerOptions{utf: rule.utf})
			s.through(server.url("smtp", ""))
			p := person{rule.address, newPerson().password}
			s.want(s.post("/auth/signup", p.form()), http.StatusOK)
			s.empty()
			mails := server.mails()
			if rule.envelope == "" {
				if n := one[int](s.deployment, `select count(*) from audit where action = 'mail.given_up'`); n != 1 || len(mails) != 0 {
					t.Errorf("given up %d times, came %d times", n, len(mails))
				}
				return
			}
			if len(mails) != 1 || mails[0].to != rule.envelope {
				t.Fatalf("%+v\n%s", mails, s.log)
			}
			mail := s.read(mails[0].raw)
			if mail.to != rule.address {
				t.Errorf("to %s", mail.to)
			}
			s.want(s.verify(mail.token), http.StatusOK)
			s.login(p)
		})
	}
}

// TestAMailThatIsBeingSentIsLeftAlone: the other senders come back to it only when its sender must have died.
func TestAMailThatIsBeingSentIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, server := newService(t), serveMail(t, mailServerOptions{})
	taken, release := make(chan bool), make(chan bool)
	server.tell(func(step string, _ *smtp.Conn) error {
		if step == "DATA" {
			taken <- true
			<-release
		}
		return nil
	})
	s.through(server.url("smtp", ""))
	s.signedUp()
	<-taken
	if n := one[int](s.deployment, `select count(*) from mails where due_at > now() + interval '1 minute' and tries = 1`); n != 1 {
		t.Error("another sender takes it at once")
	}
	close(release)
	s.empty()
	if n := len(server.mails()); n != 1 {
		t.Errorf("came %d times", n)
	}
}

// TestAMailIsSentWhileItsLinkIsGood: one that is over, or that is not needed any more, is not sent, and one whose sender
// died is taken over.
func TestAMailIsSentWhileItsLinkIsGood(t *testing.T) {
	t.Parallel()
	s, server := newService(t), serveMail(t, mailServerOptions{})
	over, needless, orphan := s.signedUp(), s.signedUp(), s.signedUp()
	s.want(s.forgot(needless.email), http.StatusOK)
	set := func(p person, change string) {
		s.exec(`update mails set `+change+` where kind = 'confirm' and user_id = (select id from users where email = $1)`, p.email)
	}
	set(over, `expires_at = now()`)
	set(orphan, `tries = 1, due_at = now() + interval '2 minutes'`) // as of a sender at work
	set(needless, `due_at = now() + interval '1 hour'`)
	s.through(server.url("smtp", ""))
	s.eventually("the reset mail did not come", func() bool { return len(server.mails()) == 1 })
	reset := server.mails()[0]
	s.want(s.reset(s.read(reset.raw).token, needless.password), http.StatusOK)
	s.later("2 hours")
	s.empty()
	mails := server.mails()
	if len(mails) != 2 || reset.to != needless.email || mails[1].to != orphan.email {
		t.Errorf("%d mails", len(mails))
	}
	if n := one[int](s.deployment, `select count(*) from audit a join users u on u.id = a.target_id where action = 'mail.given_up' and email = $1`, over.email); n != 1 {
		t.Errorf("given up %d times", n)
	}
}

// TestWithoutAMailServerMailsWait: and what is long over is removed, with or without one.
func TestWithoutAMailServerMailsWait(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.signedUp()
	s.later("31 days 1 minute")
	kept := s.signedUp()
	s.sends(outbox.Config{From: from})
	s.eventually("nothing was removed", func() bool {
		return one[int](s.deployment, `select (select count(*) from mails) + (select count(*) from mail_pauses)`) == 2
	})
	if n := one[int](s.deployment, `select count(*) from mails m join users u on u.id = m.user_id where email = $1 and tries = 0 and due_at is not null`, kept.email); n != 1 {
		t.Errorf("%d mails wait", n)
	}
	if !strings.Contains(s.log.String(), "neither SMTP_URL nor MAIL_DIR is set") {
		t.Error("nobody is told")
	}
}

// TestTheKeyOfALinkMayBeRotated: a mail that was written under one key is sent under the next.
func TestTheKeyOfALinkMayBeRotated(t *testing.T) {
	t.Parallel()
	s, server := newService(t), serveMail(t, mailServerOptions{})
	p := s.signedUp()
	s.replica(newKey).through(server.url("smtp", ""))
	s.tried(1)
	if n := len(server.mails()); n != 0 {
		t.Errorf("%d mails under a key that is lost", n)
	}
	s.due()
	s.replica(both).through(server.url("smtp", ""))
	s.eventually("the mail did not come", func() bool { s.due(); return len(server.mails()) > 0 })
	s.want(s.replica(newKey).verify(s.read(server.mails()[0].raw).token), http.StatusOK)
	s.login(p)
}
