package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/token"
)

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	seen := map[string]bool{tokens.refresh: true}
	for range 5 {
		next := s.pairOf(s.refresh(tokens.refresh))
		if seen[next.refresh] || next.access == tokens.access {
			t.Error("a token came back")
		}
		seen[next.refresh] = true
		s.want(s.profile(next.access), http.StatusOK)
		tokens = next
	}
	if n := one[int](s.deployment, `select current_number from user_sessions where revoked_at is null`); n != 6 {
		t.Errorf("current_number is %d", n)
	}
}

func TestTheDirectParentIsAnsweredAgainWithTheSameToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	first := s.login(s.user())
	second := s.pairOf(s.refresh(first.refresh))
	for range 3 {
		again := s.pairOf(s.refresh(first.refresh))
		if again.refresh != second.refresh {
			t.Error("another token")
		}
		s.want(s.profile(again.access), http.StatusOK)
	}
	third := s.pairOf(s.refresh(second.refresh))
	if again := s.pairOf(s.refresh(second.refresh)); again.refresh != third.refresh {
		t.Error("another token")
	}
}

func TestManyRefreshesAtOnceLogNobodyOut(t *testing.T) {
	t.Parallel()
	s := newService(t)
	replicas := []*service{s.replica(oldKey + "," + newKey), s.replica(both)} // the one is being promoted
	tokens := s.login(s.user())
	answers := make([]pair, 200)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() { answers[i] = s.pairOf(replicas[i%2].refresh(tokens.refresh)) })
	}
	wait.Wait()
	for _, a := range answers {
		if a.refresh != answers[0].refresh {
			t.Fatal("not everybody got the same token")
		}
	}
	for _, a := range answers[:5] {
		s.want(s.profile(a.access), http.StatusOK)
	}
	if n := one[int](s.deployment, `select count(*) from user_sessions where revoked_at is null and current_number = 2`); n != 1 {
		t.Error("the session was ended, or went on by more than one")
	}
	s.pairOf(s.refresh(answers[0].refresh))
}

func TestAnyOtherReuseEndsTheSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	elsewhere := s.login(p)
	first := s.login(p)
	second := s.pairOf(s.refresh(first.refresh))
	third := s.pairOf(s.refresh(second.refresh))

	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() { s.want(s.refresh(first.refresh), http.StatusUnauthorized) })
	}
	wait.Wait()
	refused := s.want(s.refresh(first.refresh), http.StatusUnauthorized)
	if refused.body["success"] != false || refused.body["user"] != nil || refused.body["session"] != nil || refused.body["error"] == "" {
		t.Errorf("got %s", refused.Body)
	}
	for _, old := range []pair{first, second, third} {
		if a := s.want(s.refresh(old.refresh), http.StatusUnauthorized); a.Body != refused.Body {
			t.Errorf("got %s", a.Body)
		}
		s.want(s.profile(old.access), http.StatusUnauthorized)
	}
	const trail = `select count(*) from audit a join user_sessions s on s.id = a.target_id
	                where action = 'session.reuse' and actor_kind = 'anonymous' and revoked_why = 'reuse' and details ->> 'user_id' = s.user_id::text`
	if n := one[int](s.deployment, trail); n != 1 {
		t.Errorf("%d rows in the audit trail", n)
	}
	// The user's other session has nothing to do with it.
	s.want(s.profile(elsewhere.access), http.StatusOK)
	s.pairOf(s.refresh(elsewhere.refresh))
}

func TestRefreshWhileKeysAreReplaced(t *testing.T) {
	t.Parallel()
	s := newService(t)
	first := s.login(s.user())
	second := s.pairOf(s.refresh(first.refresh))
	// A key was put in front: what was derived under the one behind it is found again.
	promoted := s.replica(both)
	if again := s.pairOf(promoted.refresh(first.refresh)); again.refresh != second.refresh {
		t.Error("another token")
	}
	// The key is gone: the lost answer cannot be given again, and the session goes on for who has it.
	s.want(s.replica(newKey).refresh(first.refresh), http.StatusUnauthorized)
	s.pairOf(promoted.refresh(second.refresh))
}

func TestRefreshIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	for name, presented := range map[string]string{
		"empty": "", "text": "none of ours", "unknown": token.New(token.Refresh).Reveal(),
		"access token": tokens.access, "another kind of token": token.New(token.APIKey).Reveal(), "changed": tokens.refresh[:len(tokens.refresh)-1] + "x",
		"longer": tokens.refresh + "0", "upper case": "CSR" + tokens.refresh[3:], "very long": tokens.refresh + strings.Repeat("0", 16000),
	} {
		a := s.refresh(presented)
		if a.Status != http.StatusUnauthorized || a.body["success"] != false || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	next := s.pairOf(s.refresh(tokens.refresh))
	s.exec(`update user_sessions set expires_at = now()`)
	s.want(s.refresh(next.refresh), http.StatusUnauthorized)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
	s.want(s.profile(next.access), http.StatusUnauthorized)
	if n := one[int](s.deployment, `select count(*) from user_sessions where revoked_at is not null`); n != 0 {
		t.Error("the end of a session's time was taken for reuse")
	}
}
