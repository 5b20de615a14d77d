package usersession_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

func (r replica) refresh(presented token.Token) (usersession.Tokens, error) {
	return r.Refresh(r.t.Context(), presented.Text)
}

func (r replica) mustRefresh(presented token.Token) usersession.Tokens {
	r.t.Helper()
	tokens, err := r.refresh(presented)
	if err != nil {
		r.t.Fatal(err)
	}
	return tokens
}

func (r replica) wantRefused(presented token.Token) {
	r.t.Helper()
	if _, err := r.refresh(presented); !errors.Is(err, usersession.ErrRefreshRefused) {
		r.t.Errorf("got %v, want a refusal", err)
	}
}

func same(a, b usersession.Tokens) bool { return a.RefreshToken.Reveal() == b.RefreshToken.Reveal() }

func TestParentOfTheCurrentTokenGetsTheSameToken(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	first := r.mustOpen(r.user())
	second := r.mustRefresh(first.RefreshToken)
	for range 3 {
		again := r.mustRefresh(first.RefreshToken)
		if !same(again, second) {
			t.Error("got another token")
		}
		r.wantLive(again, true)
	}
	third := r.mustRefresh(second.RefreshToken)
	if !same(r.mustRefresh(second.RefreshToken), third) {
		t.Error("got another token")
	}
}

// age moves the last refresh of every session into the past.
func (d deployment) age(by string) {
	d.people.Exec(`update user_sessions set refreshed_at = refreshed_at - $1::interval`, by)
}

func TestParentIsAnsweredAgainForOneMinute(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	first := r.mustOpen(r.user())
	second := r.mustRefresh(first.RefreshToken)
	r.age("40 seconds") // the test may need up to 20 s
	if !same(r.mustRefresh(first.RefreshToken), second) {
		t.Error("got another token")
	}
	r.age("20 seconds")
	r.wantRefused(first.RefreshToken)
	r.wantLive(second, false)
	r.wantRefused(second.RefreshToken)
	if why := one[string](r.deployment, `select revoked_why from user_sessions`); why != "reuse" {
		t.Errorf("the session ended because of %s", why)
	}
}

func TestThiefCannotAlternateWithTheOwner(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u := r.user()
	for name, order := range map[string][2]string{"the owner refreshes first": {"owner", "thief"}, "the thief refreshes first": {"thief", "owner"}} {
		stolen := r.mustOpen(u)
		has := map[string]usersession.Tokens{"owner": stolen, "thief": stolen}
		has[order[0]] = r.mustRefresh(stolen.RefreshToken)
		r.age("10 minutes")
		r.wantRefused(has[order[1]].RefreshToken)
		if _, err := r.refresh(has[order[0]].RefreshToken); err == nil {
			t.Errorf("%s: the session goes on", name)
		}
	}
}

func TestConcurrentRefreshesGetTheSameToken(t *testing.T) {
	d := newDeployment(t)
	replicas := []replica{d.replica(oldKey + "," + newKey), d.replica(both)} // another key is being promoted
	first := d.replica(oldKey).mustOpen(d.user())
	answers := make([]usersession.Tokens, 200)
	var running sync.WaitGroup
	for i := range answers {
		running.Go(func() {
			var err error
			if answers[i], err = replicas[i%2].refresh(first.RefreshToken); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, tokens := range answers {
		if !same(tokens, answers[0]) {
			t.Fatal("requests got different tokens")
		}
	}
	for _, tokens := range answers[:5] {
		replicas[0].wantLive(tokens, true)
	}
	if n := one[int](d, `select count(*) from user_sessions where revoked_at is null and current_number = 2`); n != 1 {
		t.Error("the session was ended or refreshed more than once")
	}
	replicas[0].mustRefresh(answers[0].RefreshToken)
}

func TestReuseOfAnOlderTokenEndsTheSession(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u := r.user()
	otherSession, first := r.mustOpen(u), r.mustOpen(u)
	second := r.mustRefresh(first.RefreshToken)
	third := r.mustRefresh(second.RefreshToken)
	var running sync.WaitGroup
	for range 20 {
		running.Go(func() { r.wantRefused(first.RefreshToken) })
	}
	running.Wait()
	for _, tokens := range []usersession.Tokens{first, second, third} {
		r.wantRefused(tokens.RefreshToken)
		r.wantLive(tokens, false)
	}
	const q = `select count(*) from audit a join user_sessions s on s.id = a.target_id
	            where action = 'session.reuse' and actor_kind = 'anonymous' and revoked_why = 'reuse' and details ->> 'user_id' = s.user_id::text`
	if n := one[int](r.deployment, q); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	r.wantLive(otherSession, true)
	r.mustRefresh(otherSession.RefreshToken)
}

func TestRefreshDuringKeyRotation(t *testing.T) {
	d := newDeployment(t)
	r, promoted := d.replica(oldKey), d.replica(both)
	first := r.mustOpen(d.user())
	second := r.mustRefresh(first.RefreshToken)
	if !same(promoted.mustRefresh(first.RefreshToken), second) {
		t.Error("got another token after a key was promoted")
	}
	// Without the old key, the token cannot be derived again. The current token can still be refreshed.
	d.replica(newKey).wantRefused(first.RefreshToken)
	promoted.mustRefresh(second.RefreshToken)
}

func TestRefreshTokensOfAnExpiredSessionAreRefused(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	first := r.mustOpen(r.user())
	second := r.mustRefresh(first.RefreshToken)
	r.people.Exec(`update user_sessions set expires_at = now()`)
	r.wantRefused(second.RefreshToken)
	r.wantRefused(first.RefreshToken)
	r.wantLive(second, false)
	if n := one[int](r.deployment, `select count(*) from user_sessions where revoked_at is not null`); n != 0 {
		t.Error("the use of an expired token counts as reuse")
	}
}

func TestMalformedAndUnknownRefreshTokensAreRefused(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	tokens := r.mustOpen(r.user())
	valid := tokens.RefreshToken.Reveal()
	for name, text := range map[string]string{
		"empty": "", "text": "some text", "unknown": token.New(token.Refresh).Reveal(), "an access token": tokens.AccessToken.Reveal(),
		"another kind of token": token.New(token.APIKey).Reveal(), "changed": valid[:len(valid)-1] + "x", "longer": valid + "0", "upper case": "CSR" + valid[3:],
		"very long": valid + strings.Repeat("0", 16000),
	} {
		if _, err := r.Refresh(t.Context(), secret.New(text)); !errors.Is(err, usersession.ErrRefreshRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.mustRefresh(tokens.RefreshToken)
}
