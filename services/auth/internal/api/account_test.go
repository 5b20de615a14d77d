package api_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestExportAccount(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	s.login(s.user())
	ended := s.login(p)
	s.want(s.logout(ended.access), http.StatusOK)
	access := s.login(p).access
	a := s.want(s.as(access, http.MethodGet, "/auth/export", nil), http.StatusOK)
	sessions, profile := a.body["sessions"].([]any), a.body["profile"].(map[string]any)
	if len(sessions) != 2 || profile["email"] != p.email || a.body["role"] != "user" || a.body["email_confirmed_at"] == nil {
		t.Errorf("got %s", a.Body)
	}
	if past := sessions[1].(map[string]any); past["ended_by"] != "logout" || past["ended_at"] == nil || past["id"] != s.sessionOf(ended) {
		t.Errorf("got %s", a.Body)
	}
	if a.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("headers %v", a.Header)
	}
	var hashes []string
	must(t, s.owner.Select(&hashes, `select password_hash from users union all select encode(token_hash, 'hex') from refresh_tokens`))
	for _, hash := range hashes {
		if strings.Contains(a.Body, hash) {
			t.Errorf("the export contains a hash: %s", hash)
		}
	}
}

func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	stranger, elsewhere, tokens := s.login(s.user()), s.login(p), s.login(p)
	s.exec(`insert into customers (email) values ($1)`, p.email)
	user := one[string](s.deployment, `select id from users where email = $1`, p.email)
	remove := func(access string) answer { return s.as(access, http.MethodDelete, "/auth/account", nil) }

	s.exec(`update user_sessions set proved_at = now() - interval '301 seconds'`)
	a := s.want(remove(tokens.access), http.StatusUnauthorized)
	if !strings.Contains(a.Header.Get("WWW-Authenticate"), `error="insufficient_user_authentication"`) {
		t.Errorf("headers %v", a.Header)
	}
	s.want(s.refresh(tokens.refresh), http.StatusOK) // refreshing does not prove the session
	s.want(remove(tokens.access), http.StatusUnauthorized)

	fresh := s.login(p)
	if a := s.want(remove(fresh.access), http.StatusNoContent); a.Body != "" {
		t.Errorf("got %q", a.Body)
	}
	for _, deleted := range []pair{tokens, elsewhere, fresh} {
		s.want(s.profile(deleted.access), http.StatusUnauthorized)
		s.want(s.refresh(deleted.refresh), http.StatusUnauthorized)
		s.want(remove(deleted.access), http.StatusUnauthorized)
	}
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	s.want(s.profile(stranger.access), http.StatusOK)
	if n := one[int](s.deployment, `select count(*) from customers`); n != 1 {
		t.Error("the customer with the address was deleted")
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'user.deleted' and target_id = $1 and actor_id = $1 and details = '{}'`, user); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	s.exec(`delete from customers`)
	if dump := s.people.Dump(); strings.Contains(dump, p.email) || !strings.Contains(dump, user) {
		t.Error("data of the user is left, or the audit rows are not")
	}
	// The address can be registered again.
	s.want(s.post("/auth/signup", p.form()), http.StatusOK)
}

func TestLastAdminIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	admins := []pair{s.login(s.user()), s.login(s.user())}
	s.exec(`update users set role = 'admin'`)
	remove := func(p pair) answer { return s.as(p.access, http.MethodDelete, "/auth/account", nil) }
	s.want(remove(admins[0]), http.StatusNoContent)
	if a := s.want(remove(admins[1]), http.StatusConflict); !strings.Contains(a.Body, "the only admin") {
		t.Errorf("got %s", a.Body)
	}
	s.want(s.profile(admins[1].access), http.StatusOK)
}
