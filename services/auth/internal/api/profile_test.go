package api_test

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestChangingOnesProfile(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	s.user()
	access := s.login(p).access
	before := s.profile(access)
	for i, change := range []struct {
		body string
		want string // full name, avatar, phone
	}{
		{`{}`, "<nil> <nil> <nil>"},
		{`{"full_name":"Ada Lovelace","phone":"+4930123456"}`, "Ada Lovelace <nil> +4930123456"},
		{`{"avatar_url":"https://example.test/a.png?x=1"}`, "Ada Lovelace https://example.test/a.png?x=1 +4930123456"},
		{`{"full_name":null,"phone":"+4930654321"}`, "<nil> https://example.test/a.png?x=1 +4930654321"},
		{`{"avatar_url":null,"email":"other@example.test","role":"admin","id":"x"}`, "<nil> <nil> +4930654321"},
		{`{"phone":null,"full_name":"Ada"}`, "Ada <nil> <nil>"},
	} {
		a := s.want(s.as(access, http.MethodPatch, "/auth/profile", change.body), http.StatusOK)
		if got := fmt.Sprint(a.body["full_name"], " ", a.body["avatar_url"], " ", a.body["phone"]); got != change.want {
			t.Errorf("%s: got %s", change.body, got)
		}
		if changed := a.body["updated_at"] != before.body["updated_at"]; changed != (i > 0) || a.body["email"] != p.email {
			t.Errorf("%s: got %s", change.body, a.Body)
		}
	}
	if n := one[int](s.deployment, `select count(*) from users where full_name is not null and email <> $1 or role = 'admin'`, p.email); n != 0 {
		t.Error("another user was changed, or more than the profile")
	}
	const trail = `select string_agg(details ->> 'changed', ' ' order by at) from audit where action = 'user.updated' and actor_id = target_id`
	if got := one[string](s.deployment, trail); got != `["full_name", "phone"] ["avatar_url"] ["full_name", "phone"] ["avatar_url"] ["full_name", "phone"]` {
		t.Errorf("the audit trail says %s", got)
	}
}

func TestBadProfilesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	access := s.login(s.user()).access
	for _, body := range []string{
		`{"full_name":""}`, `{"full_name":"` + strings.Repeat("x", 256) + `"}`, `{"full_name":"canary\nBcc: x"}`, `{"full_name":"can\u0000ary"}`, `{"full_name":4242}`,
		`{"avatar_url":"http://example.test/canary"}`, `{"avatar_url":"https://"}`, `{"avatar_url":"javascript:canary"}`, `{"avatar_url":"https://ada:canary@example.test/"}`,
		`{"avatar_url":"https://:443/"}`, `{"avatar_url":"//example.test/canary"}`, `{"avatar_url":""}`, `{"avatar_url":"https://example.test/` + strings.Repeat("x", 2048) + `"}`,
		`{"phone":"030123456"}`, `{"phone":"+0301234567"}`, `{"phone":"+49 30 123456"}`, `{"phone":"+1234567890123456"}`, `{"phone":"+49"}`, `{"phone":""}`,
		`null`, `[]`, ``,
	} {
		a := s.want(s.as(access, http.MethodPatch, "/auth/profile", body), http.StatusUnprocessableEntity)
		if strings.Contains(a.Body, "canary") {
			t.Errorf("the answer repeats what was sent: %s", a.Body)
		}
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'user.updated'`); n != 0 {
		t.Errorf("%d changes", n)
	}
}

func TestExportingAnAccount(t *testing.T) {
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
			t.Errorf("a hash was exported: %s", hash)
		}
	}
}

// heldUsers keeps who changes users waiting, and lets them go on when there are so many.
func (s *service) heldUsers() (let func(waiting int)) {
	s.t.Helper()
	held := s.owner.MustBegin()
	held.MustExec(`select from users for update`)
	return func(waiting int) {
		for one[int](s.deployment, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) < waiting {
			runtime.Gosched()
		}
		must(s.t, held.Rollback())
	}
}

func TestDeletingAnAccount(t *testing.T) {
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
	s.want(s.refresh(tokens.refresh), http.StatusOK) // which proves nothing
	s.want(remove(tokens.access), http.StatusUnauthorized)

	fresh := s.login(p)
	var wait sync.WaitGroup
	answers, let := make([]answer, 5), s.heldUsers()
	for i := range answers {
		wait.Go(func() { answers[i] = remove(fresh.access) })
	}
	let(len(answers))
	wait.Wait()
	removed := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.Status == http.StatusUnauthorized })
	if len(removed) != 1 || removed[0].Status != http.StatusNoContent || removed[0].Body != "" {
		t.Errorf("answered %v", answers)
	}
	for _, gone := range []pair{tokens, elsewhere, fresh} {
		s.want(s.profile(gone.access), http.StatusUnauthorized)
		s.want(s.refresh(gone.refresh), http.StatusUnauthorized)
		s.want(remove(gone.access), http.StatusUnauthorized)
	}
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	s.want(s.profile(stranger.access), http.StatusOK)
	if n := one[int](s.deployment, `select count(*) from customers`); n != 1 {
		t.Error("the customer with the address went too")
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'user.deleted' and target_id = $1 and actor_id = $1 and details = '{}'`, user); n != 1 {
		t.Errorf("%d rows in the audit trail", n)
	}
	s.exec(`delete from customers`)
	if dump := s.people.Dump(); strings.Contains(dump, p.email) || !strings.Contains(dump, user) {
		t.Error("something of the user was kept, or the trail was not")
	}
	// The address is free, for whoever proves to have it.
	s.want(s.post("/auth/signup", p.form()), http.StatusOK)
}

func TestTheLastAdminCannotGo(t *testing.T) {
	t.Parallel()
	s := newService(t)
	admins := []pair{s.login(s.user()), s.login(s.user()), s.login(s.user())}
	s.exec(`update users set role = 'admin'`)
	s.user() // no admin
	s.exec(`insert into users (email, password_hash, role) values ('unconfirmed@example.test', '', 'admin')`)
	let := s.heldUsers()
	var wait sync.WaitGroup
	statuses := make([]int, len(admins))
	for i, admin := range admins {
		wait.Go(func() { statuses[i] = s.as(admin.access, http.MethodDelete, "/auth/account", nil).Status })
	}
	let(len(admins))
	wait.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[http.StatusNoContent] != 2 || count[http.StatusConflict] != 1 {
		t.Errorf("answered %v", statuses)
	}
	if n := one[int](s.deployment, `select count(*) from users where role = 'admin' and email_confirmed_at is not null`); n != 1 {
		t.Errorf("%d admins are left", n)
	}
}
