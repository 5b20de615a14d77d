package api_test

import (
	"net/http"
	"strings"
	"testing"
)

func (s *service) change(access, current, next string) answer {
	s.t.Helper()
	return s.as(access, http.MethodPost, "/auth/password", map[string]any{"current_password": current, "new_password": next})
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p, other := s.user(), s.user()
	elsewhere, here, others := s.login(p), s.login(p), s.login(other)
	next := person{p.email, newPerson().password}
	if a := s.want(s.change(here.access, p.password, next.password), http.StatusOK); len(a.body) != 1 || a.body["message"] == "" {
		t.Errorf("got %s", a.Body)
	}
	s.want(s.profile(here.access), http.StatusOK)
	s.want(s.refresh(here.refresh), http.StatusOK)
	s.want(s.profile(others.access), http.StatusOK)
	s.want(s.profile(elsewhere.access), http.StatusUnauthorized)
	s.want(s.refresh(elsewhere.refresh), http.StatusUnauthorized)
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	s.login(next)
	s.login(other)
	if why := one[string](s.deployment, `select string_agg(revoked_why, ' ') from user_sessions where revoked_at is not null`); why != "password" {
		t.Errorf("revoked_why is %s", why)
	}
	const trail = `select count(*) from audit a join users u on u.id = a.target_id and u.id = a.actor_id where action = 'password.changed' and u.email = $1`
	if n := one[int](s.deployment, trail, p.email); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

func TestRefusedPasswordChanges(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.login(p)
	elsewhere := s.login(p)
	s.want(s.change("", p.password, newPerson().password), http.StatusUnauthorized)
	s.want(s.change(tokens.refresh, p.password, newPerson().password), http.StatusUnauthorized)
	for next, want := range map[string]string{
		"Password2026!": "too easy to guess", p.email: "too easy to guess", "a\u0308o\u0308abcd": "at least 8", "short": "at least 8", strings.Repeat("x", 1025): "at most 1024",
	} {
		if a := s.want(s.change(tokens.access, "Wrong-canary-1", next), http.StatusUnprocessableEntity); !strings.Contains(a.Body, want) || !strings.Contains(a.Body, `"loc":["body","new_password"]`) {
			t.Errorf("got %s", a.Body)
		}
	}
	for _, body := range []string{"", "{}", `{"current_password":"x"}`, `{"current_password":null,"new_password":4242}`, `{"password":"x","new_password":"x"}`} {
		s.want(s.as(tokens.access, http.MethodPost, "/auth/password", body), http.StatusUnprocessableEntity)
	}
	// None of these is charged. A wrong current password is, and the session stays valid.
	if n := one[int](s.deployment, `select sum(charged - window_start) from guess_budgets`); n != 0 {
		t.Errorf("%d attempts were charged", n)
	}
	for range 8 {
		s.want(s.change(tokens.access, "Wrong-canary-1", newPerson().password), http.StatusForbidden)
	}
	s.want(s.as(tokens.access, http.MethodPost, "/auth/step-up", map[string]any{"password": "Wrong-canary-1"}), http.StatusForbidden)
	if a := s.want(s.change(tokens.access, "Wrong-canary-1", newPerson().password), http.StatusForbidden); a.body["detail"] != "The password is wrong" {
		t.Errorf("got %s", a.Body)
	}
	s.want(s.change(tokens.access, p.password, newPerson().password), http.StatusTooManyRequests)
	s.want(s.as(tokens.access, http.MethodPost, "/auth/step-up", map[string]any{"password": p.password}), http.StatusTooManyRequests)
	if n := one[int](s.deployment, `select count(*) from audit where action = 'password.refused' and target_id = actor_id`); n != 9 {
		t.Errorf("%d audit rows of refusals", n)
	}
	s.lockEnds()
	s.want(s.profile(tokens.access), http.StatusOK)
	s.want(s.profile(elsewhere.access), http.StatusOK)
	s.login(p)
}

func (s *service) forgot(email string) answer {
	s.t.Helper()
	return s.post("/auth/forgot-password", map[string]any{"email": email})
}

func (s *service) reset(token, password string) answer {
	s.t.Helper()
	return s.post("/auth/reset-password", map[string]any{"token": token, "password": password})
}

func TestForgottenPasswordIsReset(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.user()
	tokens := s.login(p)
	s.want(s.forgot(strings.ToUpper(p.email)), http.StatusOK)
	letter := box.Last(p.email, 2)
	if !strings.Contains(letter.Raw, issuer+"/reset-password#token="+letter.Token) {
		t.Errorf("got\n%s", letter.Raw)
	}
	// A refused password does not use the link.
	for _, weak := range []string{"a\u0308o\u0308abcd", "Password123"} {
		if a := s.want(s.reset(letter.Token, weak), http.StatusUnprocessableEntity); !strings.Contains(a.Body, `"loc":["body","password"]`) {
			t.Errorf("got %s", a.Body)
		}
	}
	next := person{p.email, newPerson().password}
	if a := s.want(s.reset(letter.Token, next.password), http.StatusOK); a.body["success"] != true {
		t.Errorf("got %s", a.Body)
	}
	if a := s.want(s.reset(letter.Token, newPerson().password), http.StatusUnauthorized); a.body["success"] != false || a.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("the second time: %s", a.Body)
	}
	s.want(s.profile(tokens.access), http.StatusUnauthorized)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	s.login(next)
}

func TestForgotHasTheSameAnswerForEveryAddress(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	known, unknown := s.user(), newPerson()
	first := s.want(s.forgot(known.email), http.StatusOK)
	for _, email := range []string{unknown.email, unknown.email, known.email, s.signedUp().email} {
		if a := s.want(s.forgot(email), http.StatusOK); a.Body != first.Body || a.body["success"] != true {
			t.Errorf("got %s", a.Body)
		}
	}
	box.Last(known.email, 2) // one of the signup, and one of two requests within a minute
	if strings.Contains(s.people.Dump(), unknown.email) {
		t.Error("the address of a stranger is stored")
	}
}
