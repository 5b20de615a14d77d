package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
)

func TestChangeProfile(t *testing.T) {
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
		{`{"avatar_url":null}`, "<nil> <nil> +4930654321"},
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
		t.Errorf("audit rows: %s", got)
	}
}

func TestInvalidProfilesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	access := s.login(s.user()).access
	for _, body := range []string{
		`{"full_name":""}`, `{"full_name":"` + strings.Repeat("x", 256) + `"}`, `{"full_name":"canary\nBcc: x"}`, `{"full_name":"can\u0000ary"}`, `{"full_name":4242}`,
		`{"avatar_url":"http://example.test/canary"}`, `{"avatar_url":"https://"}`, `{"avatar_url":"javascript:canary"}`, `{"avatar_url":"https://ada:canary@example.test/"}`,
		`{"avatar_url":"https://:443/"}`, `{"avatar_url":"//example.test/canary"}`, `{"avatar_url":""}`, `{"avatar_url":"https://example.test/` + strings.Repeat("x", 2048) + `"}`,
		`{"phone":"030123456"}`, `{"phone":"+0301234567"}`, `{"phone":"+49 30 123456"}`, `{"phone":"+1234567890123456"}`, `{"phone":"+49"}`, `{"phone":""}`,
		`{"email":"other@example.test"}`, `{"role":"admin"}`, `{"id":"x"}`, `null`, `[]`, ``,
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

func TestProfile(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	s.user()
	access := s.login(p).access
	a := s.want(s.profile(access), http.StatusOK)
	if len(a.body) != 7 || a.body["email"] != p.email || a.body["full_name"] != nil || a.body["avatar_url"] != nil || a.body["phone"] != nil {
		t.Errorf("got %s", a.Body)
	}
	s.exec(`update users set full_name = 'Ada', avatar_url = 'https://example.test/a', phone = '+1' where email = $1`, p.email)
	a = s.want(s.request(http.MethodGet, "/auth/profile/", nil, "Authorization", "bearer "+access), http.StatusOK)
	if a.body["full_name"] != "Ada" || a.body["avatar_url"] != "https://example.test/a" || a.body["phone"] != "+1" {
		t.Errorf("got %s", a.Body)
	}
}

func TestProfileNeedsAValidAccessToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", tokens.access} {
		a := s.want(s.request(http.MethodGet, "/auth/profile", nil, "Authorization", header), http.StatusUnauthorized)
		if a.body["detail"] != "Not authenticated" || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: got %s", header, a.Body)
		}
	}
	bad := s.forgeries(tokens.access)
	bad["the refresh token"] = tokens.refresh
	bad["expired by a second"] = s.minted(tokens.access, func(c *accesstoken.Claims) { c.ExpiresAt = late(0) })
	bad["an unknown session"] = s.minted(tokens.access, func(c *accesstoken.Claims) { c.SessionID = uuid.New() })
	bad["a session of another user"] = s.minted(tokens.access, func(c *accesstoken.Claims) { c.Subject = uuid.NewString() })
	for name, text := range bad {
		if a := s.profile(text); a.Status != http.StatusUnauthorized || a.body["detail"] != "Invalid, expired or revoked credentials" {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	s.want(s.profile(tokens.access), http.StatusOK)
	s.exec(`update users set email_confirmed_at = null`)
	s.want(s.profile(tokens.access), http.StatusUnauthorized)
	s.exec(`update users set email_confirmed_at = now()`)
	s.want(s.profile(tokens.access), http.StatusOK)
	s.exec(`delete from users`)
	s.want(s.profile(tokens.access), http.StatusUnauthorized)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
}
