package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// aged moves the last proof of all sessions more than 5 minutes into the past.
func (s *service) aged() {
	s.t.Helper()
	s.exec(`update user_sessions set proved_at = now() - interval '301 seconds'`)
}

// authTimeOf returns the auth_time claim of an access token.
func (s *service) authTimeOf(p pair) int64 {
	s.t.Helper()
	claims, _ := s.claimsOf(p.access)
	return claims.AuthTime.Unix()
}

func TestStepUpWithAPassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.login(p)
	s.aged()
	a := s.want(s.as(tokens.access, "POST", "/auth/mfa/totp", nil), http.StatusUnauthorized)
	if challenge := a.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `error="insufficient_user_authentication"`) || !strings.Contains(challenge, `max_age="300"`) {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
	s.want(s.profile(tokens.access), http.StatusOK)
	for name, rule := range map[string]struct {
		body map[string]any
		want int
	}{
		"a wrong password": {map[string]any{"password": "Wrong-canary-1"}, http.StatusForbidden},
		"a code":           {map[string]any{"code": "123456"}, http.StatusConflict},
		"both":             {map[string]any{"password": p.password, "code": "123456"}, http.StatusConflict},
		"nothing":          {map[string]any{}, http.StatusUnprocessableEntity},
		"null":             {map[string]any{"password": nil}, http.StatusUnprocessableEntity},
	} {
		if a := s.stepUp(tokens.access, rule.body); a.Status != rule.want {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	s.want(s.as(tokens.access, "POST", "/auth/mfa/totp", nil), http.StatusUnauthorized)
	stale := s.pairOf(s.refresh(tokens.refresh))
	if at := s.authTimeOf(stale); at > time.Now().Unix()-300 {
		t.Errorf("auth_time is %d before the step-up", at)
	}
	s.want(s.stepUp(tokens.access, map[string]any{"password": p.password}), http.StatusNoContent)
	s.enrol(tokens.access)
	proved := s.pairOf(s.refresh(stale.refresh))
	if at, want := s.authTimeOf(proved), one[int64](s.deployment, `select floor(extract(epoch from proved_at))::bigint from user_sessions`); at != want {
		t.Errorf("auth_time is %d after the step-up, want %d", at, want)
	}
	claims, _ := s.claimsOf(proved.access)
	if fmt.Sprint(claims.AMR) != "[pwd]" {
		t.Errorf("amr is %v", claims.AMR)
	}
	session, user := claims.SessionID.String(), claims.Subject
	if n, refused := s.trail("session.proved", session), s.trail("step_up.refused", user); n != 1 || refused != 1 {
		t.Errorf("%d audit rows of step-ups and %d of refusals", n, refused)
	}
	s.want(s.logout(tokens.access), http.StatusOK)
	s.want(s.stepUp(tokens.access, map[string]any{"password": p.password}), http.StatusUnauthorized)
}

func TestStepUpWithASecondFactor(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	fresh := func() bool {
		return one[bool](s.deployment, `select proved_at > now() - interval '5 minutes' from user_sessions where revoked_at is null`)
	}
	const right, wrong, none = "right", "wrong", ""
	for _, rule := range []struct {
		password, code string
		want           int
	}{
		{right, none, http.StatusUnprocessableEntity}, {none, none, http.StatusUnprocessableEntity}, {wrong, none, http.StatusUnprocessableEntity},
		{none, wrong, http.StatusForbidden}, {right, wrong, http.StatusForbidden}, {wrong, right, http.StatusForbidden},
		{none, right, http.StatusNoContent}, {right, right, http.StatusNoContent}, {none, "recovery", http.StatusNoContent},
	} {
		s.aged()
		body := map[string]any{}
		if rule.password != none {
			body["password"] = map[string]string{right: o.password, wrong: "Wrong-canary-1"}[rule.password]
		}
		if rule.code != none {
			body["code"] = map[string]string{right: s.next(o), wrong: s.wrong(o), "recovery": o.recovery[0]}[rule.code]
		}
		if a := s.stepUp(o.access, body); a.Status != rule.want || fresh() != (rule.want == http.StatusNoContent) {
			t.Errorf("%s password, %s code: got %d %s, fresh %v", rule.password, rule.code, a.Status, a.Body, fresh())
		}
	}
	claims, _ := s.claimsOf(s.pairOf(s.refresh(o.refresh)).access)
	if fmt.Sprint(claims.AMR) != "[pwd otp mfa]" {
		t.Errorf("amr is %v", claims.AMR)
	}
	// The proof expires again.
	s.aged()
	s.want(s.as(o.access, "POST", "/auth/mfa/totp", nil), http.StatusUnauthorized)
}
