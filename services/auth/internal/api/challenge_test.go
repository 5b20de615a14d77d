package api_test

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/token"
)

// challenged signs one in as far as the password goes.
func (s *service) challenged(o guarded) (challenge string) {
	s.t.Helper()
	a := s.want(s.post("/auth/login", o.form()), http.StatusUnauthorized)
	mfa, _ := a.body["mfa"].(map[string]any)
	challenge, _ = mfa["challenge_token"].(string)
	if challenge == "" {
		s.t.Errorf("want a challenge, got %s", a.Body)
	}
	return challenge
}

func (s *service) answers(challenge, code string) answer {
	s.t.Helper()
	return s.post("/auth/mfa/challenge", map[string]any{"challenge_token": challenge, "code": code})
}

func TestARightPasswordIsNotEnough(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	sessions := one[int](s.deployment, `select count(*) from user_sessions`)
	asked := time.Now()
	a := s.want(s.post("/auth/login", o.form()), http.StatusUnauthorized)
	mfa := a.body["mfa"].(map[string]any)
	if a.body["success"] != false || a.body["user"] != nil || a.body["session"] != nil || a.body["error"] != "A second factor is needed" || len(mfa) != 3 ||
		fmt.Sprint(mfa["methods"]) != "[totp recovery_code]" || a.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("got %s %v", a.Body, a.Header)
	}
	if left := time.Unix(int64(mfa["expires_at"].(float64)), 0).Sub(asked); left < 4*time.Minute || left > 6*time.Minute {
		t.Errorf("the challenge is good for %s", left)
	}
	challenge := mfa["challenge_token"].(string)
	s.want(s.profile(challenge), http.StatusUnauthorized)
	s.want(s.refresh(challenge), http.StatusUnauthorized)
	if n := one[int](s.deployment, `select count(*) from user_sessions`); n != sessions {
		t.Error("a session began")
	}
	if wrong := s.want(s.answers(challenge, s.wrong(o)), http.StatusUnauthorized); wrong.body["success"] != false || wrong.body["error"] == "" || wrong.body["session"] != nil {
		t.Errorf("got %s", wrong.Body)
	}
	// Any replica goes on, also one that was started since.
	in := s.want(s.replica(oldKey).answers(challenge, s.next(o)), http.StatusOK)
	tokens := s.pairOf(in)
	if user := in.body["user"].(map[string]any); in.body["success"] != true || in.body["error"] != nil || user["id"] != o.id || in.body["mfa"] != nil {
		t.Errorf("got %s", in.Body)
	}
	for _, access := range []string{tokens.access, s.pairOf(s.refresh(tokens.refresh)).access} {
		s.want(s.profile(access), http.StatusOK)
		if claims, _ := s.claimsOf(access); fmt.Sprint(claims.AMR) != "[pwd otp mfa]" {
			t.Errorf("amr is %v", claims.AMR)
		}
	}
	if n := s.trail("login.challenged", o.id); n != 1 {
		t.Errorf("%d challenges in the audit trail", n)
	}
	claims, _ := s.claimsOf(tokens.access)
	const trail = `select count(*) from audit where action = 'session.created' and actor_id = $1 and target_id = $2 and details = '{"amr": ["pwd", "otp", "mfa"]}'`
	if n := one[int](s.deployment, trail, o.id, claims.SessionID); n != 1 {
		t.Errorf("%d sessions in the audit trail", n)
	}
}

func TestNothingIsToldOfASecondFactorBeforeARightPassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	with, without := s.guarded(), s.user()
	a, b := s.post("/auth/login", person{with.email, "Wrong-canary-1"}.form()), s.post("/auth/login", person{without.email, "Wrong-canary-1"}.form())
	if a.Status != http.StatusUnauthorized || a.Body != b.Body || len(a.Header) != len(b.Header) {
		t.Errorf("with: %s without: %s", a.Body, b.Body)
	}
	// That the address is not confirmed comes first.
	s.exec(`update users set email_confirmed_at = null where id = $1`, with.id)
	if a := s.want(s.post("/auth/login", with.form()), http.StatusUnauthorized); a.body["mfa"] != nil || !strings.Contains(a.Body, "not confirmed") {
		t.Errorf("got %s", a.Body)
	}
}

func TestChallengesThatAreOver(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o, other := s.guarded(), s.guarded()
	used := s.challenged(o)
	s.pairOf(s.answers(used, s.next(o)))
	outdated := s.challenged(o)
	s.exec(`update users set password_generation = gen_random_uuid()`)
	expired := s.challenged(o)
	s.exec(`update login_challenges set expires_at = now() where token_hash = sha256($1::bytea)`, expired)
	foreign := s.challenged(other)
	for name, challenge := range map[string]string{
		"used": used, "expired": expired, "older than the password": outdated, "unknown": token.New(token.Challenge).Reveal(), "empty": "",
		"a refresh token": o.refresh, "an access token": o.access, "changed": foreign[:len(foreign)-1] + "x", "upper case": strings.ToUpper(foreign),
	} {
		a := s.answers(challenge, s.next(o))
		if a.Status != http.StatusUnauthorized || a.body["success"] != false || a.body["session"] != nil || a.body["mfa"] != nil {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	if n := s.charged(); n != 0 {
		t.Errorf("%d charged", n)
	}
	// A code is good for its own user's challenge alone.
	s.want(s.answers(foreign, s.next(o)), http.StatusUnauthorized)
	s.want(s.answers(foreign, o.recovery[0]), http.StatusUnauthorized)
	s.pairOf(s.answers(s.challenged(o), s.next(o)))
	s.pairOf(s.answers(foreign, s.code(other.secret, 0)))

	removed := s.challenged(o)
	s.want(s.remove(o.access, s.next(o)), http.StatusNoContent)
	s.want(s.answers(removed, s.next(o)), http.StatusUnauthorized)
	// What has expired does not pile up.
	s.challenged(other)
	s.exec(`update login_challenges set expires_at = now()`)
	s.challenged(other)
	if n := one[int](s.deployment, `select count(*) from login_challenges where user_id = $1`, other.id); n != 1 {
		t.Errorf("%d challenges are kept", n)
	}
}

func TestAResetPasswordLeavesTheSecondFactor(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	o := s.guarded()
	before := s.challenged(o)
	s.want(s.forgot(o.email), http.StatusOK)
	o.password = newPerson().password
	s.want(s.reset(box.last(o.email, 2).token, o.password), http.StatusOK)
	s.want(s.answers(before, s.next(o)), http.StatusUnauthorized)
	s.pairOf(s.answers(s.challenged(o), s.next(o)))
	s.pairOf(s.answers(s.challenged(o), o.recovery[0]))
}

func TestAChallengeOpensOneSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.settings.MFABudget.Attempts, s.settings.MFABudget.Failures = 1000, 1000
	replicas := []*service{s.replica(oldKey), s.replica(oldKey)}
	o := s.guarded()
	challenge, codes := s.challenged(o), append([]string{s.next(o), s.code(o.secret, 1)}, o.recovery...)
	before := one[int](s.deployment, `select count(*) from user_sessions`)
	var through atomic.Int64
	var wait sync.WaitGroup
	for i := range 48 {
		wait.Go(func() {
			if a := replicas[i%2].answers(challenge, codes[i%len(codes)]); a.Status == http.StatusOK {
				through.Add(1)
			} else if a.Status != http.StatusUnauthorized {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
		})
	}
	wait.Wait()
	if n := one[int](s.deployment, `select count(*) from user_sessions`) - before; n != 1 || through.Load() != 1 {
		t.Errorf("%d sessions began, %d were answered", n, through.Load())
	}
	// A code that opened nothing was not used up.
	if n := one[int](s.deployment, `select count(*) from recovery_codes`); n < 9 {
		t.Errorf("%d recovery codes are left", n)
	}
}

// TestNothingOfASecondFactorIsStoredInTheClear looks for secrets and codes in every row; the harness looks in everything
// logged.
func TestNothingOfASecondFactorIsStoredInTheClear(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	challenge := s.challenged(o)
	s.want(s.answers(challenge, o.recovery[0]), http.StatusOK)
	last := s.challenged(o)
	stored := s.people.Dump()
	if hash := sha256.Sum256([]byte(last)); !strings.Contains(stored, fmt.Sprintf("%x", hash)) {
		t.Error("looked in the wrong place")
	}
	raw, err := base32.StdEncoding.DecodeString(o.secret)
	must(t, err)
	for _, secret := range append([]string{o.secret, string(raw), challenge, last}, o.recovery...) {
		for _, form := range []string{secret, strings.ReplaceAll(secret, "-", ""), fmt.Sprintf("%x", secret), fmt.Sprintf("%x", strings.ReplaceAll(secret, "-", ""))} {
			if strings.Contains(stored, form) {
				t.Errorf("%.6s… is stored", secret)
			}
		}
		if sum := sha256.Sum256([]byte(strings.ReplaceAll(secret, "-", ""))); secret != last && strings.Contains(stored, fmt.Sprintf("%x", sum)) {
			t.Errorf("%.6s… is stored as a hash of nothing else", secret)
		}
	}
}
