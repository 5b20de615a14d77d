package api_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// answer is what came back, its body also decoded.
type answer struct {
	webtest.Answer
	body map[string]any
}

// request asks, from any goroutine. webtest holds the answer against the OpenAPI document. Headers come in pairs; one with
// an empty value is left out.
func (s *service) request(method, path string, body any, headers ...string) answer {
	s.t.Helper()
	r := webtest.Request{Method: method, Path: path, Body: body, Header: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = headers[i+1]
	}
	if form, is := body.(map[string]any); is {
		s.remember(form)
	}
	got, err := s.server.Try(r)
	if err != nil {
		s.t.Error(err)
	}
	if got.Status == http.StatusInternalServerError {
		s.t.Errorf("%s %s: our own failure\n%s", method, path, s.log)
	}
	a := answer{Answer: got}
	if json.Unmarshal([]byte(got.Body), &a.body) == nil {
		s.remember(a.body)
	}
	return a
}

func (s *service) post(path string, body any, headers ...string) answer {
	s.t.Helper()
	return s.request(http.MethodPost, path, body, headers...)
}

// profile asks who an access token belongs to.
func (s *service) profile(token string) answer {
	s.t.Helper()
	return s.request(http.MethodGet, "/auth/profile", nil, "Authorization", "Bearer "+token)
}

func (s *service) refresh(token string) answer {
	s.t.Helper()
	return s.post("/auth/refresh", map[string]any{"refresh_token": token})
}

func (s *service) logout(token string) answer {
	s.t.Helper()
	return s.post("/auth/logout", map[string]any{"access_token": token})
}

func (s *service) want(a answer, status int) answer {
	s.t.Helper()
	if a.Status != status {
		s.t.Errorf("want %d, got %d %s", status, a.Status, a.Body)
	}
	return a
}

// person is a user and what they know.
type person struct{ email, password string }

func newPerson() person {
	return person{strings.ToLower(rand.Text()) + "@example.test", "Canary-" + rand.Text()}
}

func (p person) form() map[string]any {
	return map[string]any{"email": p.email, "password": p.password}
}

// signedUp is a person whose address is still to be confirmed, user one who can sign in.
func (s *service) signedUp() person {
	s.t.Helper()
	p := newPerson()
	s.want(s.post("/auth/signup", p.form()), http.StatusOK)
	return p
}

func (s *service) user() person {
	s.t.Helper()
	p := s.signedUp()
	s.exec(`update users set email_confirmed_at = now() where email = $1`, p.email)
	return p
}

// pair is what a sign-in gives.
type pair struct{ access, refresh string }

func (s *service) pairOf(a answer) pair {
	s.t.Helper()
	session, _ := a.body["session"].(map[string]any)
	if a.Status != http.StatusOK || session == nil {
		s.t.Errorf("want a session, got %d %s", a.Status, a.Body)
		return pair{}
	}
	return pair{session["access_token"].(string), session["refresh_token"].(string)}
}

func (s *service) login(p person) pair {
	s.t.Helper()
	return s.pairOf(s.post("/auth/login", p.form()))
}
