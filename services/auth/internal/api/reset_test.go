package api_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	outbox "github.com/countersign/countersign/services/auth/internal/mail"
)

func (s *service) forgot(email string) answer {
	s.t.Helper()
	return s.post("/auth/forgot-password", map[string]any{"email": email})
}

func (s *service) reset(token, password string) answer {
	s.t.Helper()
	return s.post("/auth/reset-password", map[string]any{"token": token, "password": password})
}

func TestAForgottenPasswordIsReplacedByMail(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.user()
	box.last(p.email, 1)
	held, other := s.login(p), s.login(p)
	s.want(s.forgot(strings.ToUpper(p.email)), http.StatusOK)
	first := box.last(p.email, 2)
	if !strings.Contains(first.raw, issuer+"/reset-password#token="+first.token) {
		t.Errorf("got\n%s", first.raw)
	}
	s.later("1 minute")
	s.want(s.forgot(p.email), http.StatusOK)
	second := box.last(p.email, 3)

	// What is wrong with a password is told to who has a good link, and costs it nothing.
	for _, bad := range []string{"a\u0308o\u0308abcd", "Password123"} {
		a := s.want(s.reset(first.token, bad), http.StatusUnprocessableEntity)
		if !strings.Contains(a.Body, `"loc":["body","password"]`) {
			t.Errorf("got %s", a.Body)
		}
	}
	fresh := newPerson().password
	generation := one[string](s.deployment, `select password_generation from users`)
	s.want(s.reset(second.token, fresh), http.StatusOK)
	if now := one[string](s.deployment, `select password_generation from users`); now == generation {
		t.Error("who was signing in with the old password gets in")
	}
	for _, used := range []letter{first, second} {
		if a := s.want(s.reset(used.token, newPerson().password), http.StatusUnauthorized); a.body["success"] != false || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("got %s", a.Body)
		}
	}
	for _, session := range []pair{held, other} {
		s.want(s.profile(session.access), http.StatusUnauthorized)
		s.want(s.refresh(session.refresh), http.StatusUnauthorized)
	}
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	s.login(person{p.email, fresh})
	const trail = `select count(*) from audit join users u on u.id = target_id and u.id = actor_id where action = 'password.reset' and actor_kind = 'user'`
	if n := one[int](s.deployment, trail); n != 1 {
		t.Errorf("%d resets in the audit trail", n)
	}
	if n := one[int](s.deployment, `select count(*) from user_sessions where revoked_why = 'password'`); n != 2 {
		t.Errorf("%d sessions were ended", n)
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'reset.refused'`); n != 2 {
		t.Errorf("%d refusals in the audit trail", n)
	}
}

func TestForgettingIsAnsweredTheSameForEveryAddress(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	known, unknown := s.user(), newPerson()
	first := s.want(s.forgot(known.email), http.StatusOK)
	for _, email := range []string{unknown.email, unknown.email, known.email, s.signedUp().email} {
		if a := s.want(s.forgot(email), http.StatusOK); a.Body != first.Body || a.body["success"] != true {
			t.Errorf("got %s", a.Body)
		}
	}
	box.last(known.email, 2) // of the signup, and one of two that were asked for within a minute
	if strings.Contains(s.people.Dump(), unknown.email) {
		t.Error("the address of a stranger is kept")
	}
}

// An open link ends with its time, and nobody is kept from a reset by who has confirmations sent.
func TestResetLinksLastAQuarterOfAnHour(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.signedUp()
	s.want(s.forgot(p.email), http.StatusOK)
	early := box.last(p.email, 2)
	s.later("14 minutes 50 seconds")
	s.want(s.forgot(p.email), http.StatusOK)
	late := box.last(p.email, 3)
	s.later("10 seconds")
	s.want(s.reset(early.token, newPerson().password), http.StatusUnauthorized)
	s.want(s.reset(late.token, newPerson().password), http.StatusOK)
}

// A stranger's signup is void when the owner of the address chooses a password.
func TestAResetConfirmsTheAddressAndVoidsEverySignup(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	stranger := s.signedUp()
	link := box.last(stranger.email, 1)
	owner := person{stranger.email, newPerson().password}
	s.want(s.forgot(owner.email), http.StatusOK)
	s.want(s.reset(box.last(owner.email, 2).token, owner.password), http.StatusOK)
	s.login(owner)
	if a := s.want(s.verify(link.token), http.StatusOK); !strings.Contains(a.Body, "already") {
		t.Errorf("got %s", a.Body)
	}
	s.want(s.post("/auth/login", stranger.form()), http.StatusUnauthorized)
	s.login(owner)
	if n := one[int](s.deployment, `select count(*) from mails where password_hash is not null`); n != 0 {
		t.Errorf("%d signups are left", n)
	}
}

func TestALinkIsUsedOnceHoweverManyFollowIt(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.user()
	var links []letter
	for i := range 2 {
		s.later("1 minute")
		s.want(s.forgot(p.email), http.StatusOK)
		links = append(links, box.last(p.email, i+2))
	}
	var wait sync.WaitGroup
	var good atomic.Value
	var n atomic.Int32
	for i := range 20 {
		wait.Go(func() {
			password := newPerson().password
			if s.reset(links[i%2].token, password).Status == http.StatusOK {
				n.Add(1)
				good.Store(password)
			}
		})
	}
	wait.Wait()
	if n.Load() != 1 {
		t.Fatalf("used %d times", n.Load())
	}
	s.login(person{p.email, good.Load().(string)})
}

// TestNoLinkAndNoPasswordIsStored searches everything that the database holds, before a mail is sent and after.
func TestNoLinkAndNoPasswordIsStored(t *testing.T) {
	t.Parallel()
	s, box := newService(t), mailbox{}
	p := s.signedUp()
	s.want(s.forgot(p.email), http.StatusOK)
	before := s.people.Dump()
	box = mailbox{s.deployment, t.TempDir()}
	s.sends(outbox.Config{Folder: box.path, From: from})
	letters := box.all(p.email)
	if len(letters) != 2 {
		t.Fatalf("%d mails", len(letters))
	}
	s.want(s.verify(letters[0].token), http.StatusOK)
	s.want(s.reset(letters[1].token, newPerson().password), http.StatusOK)
	for secret := range s.secrets {
		for _, dump := range []string{before, s.people.Dump()} {
			if strings.Contains(dump, secret) || strings.Contains(dump, strings.TrimPrefix(secret, "csl_")) {
				t.Errorf("stored: %.8s…", secret)
			}
		}
	}
	if len(s.secrets) < 4 || !strings.Contains(before, p.email) {
		t.Errorf("looked for %d secrets", len(s.secrets))
	}
}
