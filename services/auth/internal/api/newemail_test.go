package api_test

import (
	"net/http"
	"strings"
	"testing"
)

func (s *service) requestNewEmail(access, email string) answer {
	s.t.Helper()
	return s.as(access, http.MethodPost, "/auth/new-email", map[string]any{"email": email})
}

func (s *service) confirmNewEmail(token string) answer {
	s.t.Helper()
	return s.post("/auth/confirm-new-email", map[string]any{"token": token})
}

func TestChangeOfTheEmailAddress(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p, other := s.user(), s.user()
	tokens := s.login(p)
	next := person{newPerson().email, p.password}
	for _, bad := range []string{"", "canary", "canary@localhost", strings.ToUpper(p.email)} {
		if a := s.want(s.requestNewEmail(tokens.access, bad), http.StatusUnprocessableEntity); !strings.Contains(a.Body, `"loc":["body","email"]`) {
			t.Errorf("%q: got %s", bad, a.Body)
		}
	}
	s.pass("1 minute")
	first := s.want(s.requestNewEmail(tokens.access, strings.ToUpper(next.email)), http.StatusOK)
	for _, email := range []string{next.email, other.email, newPerson().email} {
		if a := s.want(s.requestNewEmail(tokens.access, email), http.StatusOK); a.Body != first.Body || a.body["success"] != true {
			t.Errorf("got %s", a.Body)
		}
	}
	s.pass("1 minute")
	s.want(s.requestNewEmail(tokens.access, next.email), http.StatusOK)
	link := box.Last(next.email, 2)
	if !strings.Contains(link.Raw, issuer+"/confirm-new-email#token="+link.Token) {
		t.Errorf("got\n%s", link.Raw)
	}
	s.want(s.profile(tokens.access), http.StatusOK)
	for range 2 {
		if a := s.want(s.confirmNewEmail(link.Token), http.StatusOK); a.body["success"] != true {
			t.Errorf("got %s", a.Body)
		}
	}
	s.want(s.profile(tokens.access), http.StatusUnauthorized)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	if a := s.profile(s.login(next).access); a.body["email"] != next.email {
		t.Errorf("got %s", a.Body)
	}
	if a := s.want(s.confirmNewEmail("canary"), http.StatusUnauthorized); a.body["success"] != false || a.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("got %s", a.Body)
	}
	tokens = s.login(next)
	claimed := newPerson().email
	s.exec(`insert into customers (email) values ($1)`, claimed)
	s.want(s.requestNewEmail(tokens.access, claimed), http.StatusOK)
	if a := s.want(s.confirmNewEmail(box.Last(claimed, 1).Token), http.StatusConflict); a.body["success"] != false {
		t.Errorf("got %s", a.Body)
	}
	s.aged()
	a := s.want(s.requestNewEmail(tokens.access, newPerson().email), http.StatusUnauthorized)
	if !strings.Contains(a.Header.Get("WWW-Authenticate"), "insufficient_user_authentication") {
		t.Errorf("got %v", a.Header)
	}
}

// A stranger requests mails to an address. The answers do not show the quota, and a password reset still reaches the owner.
func TestMailQuotaIsNotRevealed(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p, unknown := s.signedUp(), newPerson()
	bodies := map[string]bool{}
	for range 7 {
		s.pass("1 minute")
		bodies[s.want(s.resend(p.email), http.StatusOK).Body] = true
		bodies[s.want(s.resend(unknown.email), http.StatusOK).Body] = true
		s.want(s.post("/auth/signup", map[string]any{"email": p.email, "password": newPerson().password}), http.StatusOK)
	}
	if len(bodies) != 1 {
		t.Errorf("got %v", bodies)
	}
	box.Last(p.email, 5)
	s.want(s.forgot(p.email), http.StatusOK)
	if letter := box.Last(p.email, 6); letter.Subject != "Choose a new password" {
		t.Errorf("got\n%s", letter.Raw)
	}
}
