package api_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

const (
	home      = "203.0.113.7"
	elsewhere = "203.0.113.99"
	stranger  = "198.51.100.1"
)

// behindProxy returns a replica that trusts a proxy on this machine, so that a test sets the client's address with
// X-Forwarded-For.
func (s *service) behindProxy() *service {
	s.t.Helper()
	s.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return s.replica(oldKey)
}

func (s *service) loginFrom(address string, p person) answer {
	s.t.Helper()
	return s.post("/auth/login", p.form(), "X-Forwarded-For", address)
}

// useUp sends the last wrong password of a stranger's 100, of which n were sent before.
func (s *service) useUp(email string, n int) {
	s.t.Helper()
	s.lockEnds()
	s.spend(email, 99-n)
	s.want(s.loginFrom(stranger, person{email, "Wrong-canary-1"}), http.StatusUnauthorized)
}

func TestStrangerCannotLockTheOwnerOut(t *testing.T) {
	t.Parallel()
	s := newService(t).behindProxy()
	box := mailtest.NewBox(t, s.people, issuer, s.db, s.app.Outbox, s.log.Logger())
	p := s.user()
	session := s.pairOf(s.loginFrom(home, p))
	ownerIsIn := func() {
		t.Helper()
		s.pairOf(s.loginFrom(home, p))
		s.want(s.stepUp(session.access, map[string]any{"password": p.password}), http.StatusNoContent)
	}
	for range 10 {
		s.want(s.loginFrom(stranger, person{p.email, "Wrong-canary-1"}), http.StatusUnauthorized)
	}
	s.want(s.loginFrom(stranger, p), http.StatusTooManyRequests)
	s.want(s.loginFrom(elsewhere, p), http.StatusTooManyRequests)
	ownerIsIn()
	s.useUp(p.email, 10)
	if a := s.want(s.loginFrom(elsewhere, p), http.StatusTooManyRequests); a.body["detail"] != "Too many wrong passwords: reset the password by mail" || a.Header.Get("Retry-After") != "" {
		t.Errorf("got %s %v", a.Body, a.Header)
	}
	ownerIsIn()
	next := person{p.email, newPerson().password}
	s.want(s.change(session.access, p.password, next.password), http.StatusOK)
	p = next
	ownerIsIn()

	// The owner is in another network while the stranger goes on. The mail helps, also against the next guesses.
	s.useUp(p.email, 0)
	s.want(s.loginFrom(elsewhere, p), http.StatusTooManyRequests)
	s.want(s.forgot(p.email), http.StatusOK)
	p.password = newPerson().password
	link := box.Last(p.email, 4).Token
	s.want(s.post("/auth/reset-password", map[string]any{"token": link, "password": p.password}, "X-Forwarded-For", elsewhere), http.StatusOK)
	for range 10 {
		s.want(s.loginFrom(stranger, person{p.email, "Wrong-canary-1"}), http.StatusUnauthorized)
	}
	s.pairOf(s.loginFrom(elsewhere, p))
	s.want(s.loginFrom(home, p), http.StatusTooManyRequests) // the reset has forgotten this network
}

func TestWrongPasswordsInASessionLockOnlySessions(t *testing.T) {
	t.Parallel()
	s := newService(t).behindProxy()
	p := s.user()
	session, thief := s.pairOf(s.loginFrom(home, p)), s.pairOf(s.loginFrom(home, p))
	for range 5 {
		s.want(s.stepUp(thief.access, map[string]any{"password": "Wrong-canary-1"}), http.StatusForbidden)
		s.want(s.change(thief.access, "Wrong-canary-1", newPerson().password), http.StatusForbidden)
	}
	// All sessions share one budget. Otherwise a thief could sign in more often to guess more often.
	for _, tokens := range []pair{session, thief} {
		s.want(s.stepUp(tokens.access, map[string]any{"password": p.password}), http.StatusTooManyRequests)
		s.want(s.change(tokens.access, p.password, newPerson().password), http.StatusTooManyRequests)
	}
	s.pairOf(s.loginFrom(home, p))
	s.pairOf(s.loginFrom(elsewhere, p))
}

func TestWrongPasswordsInAKnownNetworkLockOnlyThisNetwork(t *testing.T) {
	t.Parallel()
	s := newService(t).behindProxy()
	p := s.user()
	session := s.pairOf(s.loginFrom(home, p))
	s.pairOf(s.loginFrom(elsewhere, p))
	for range 10 {
		s.want(s.loginFrom(home, person{p.email, "Wrong-canary-1"}), http.StatusUnauthorized)
	}
	s.want(s.loginFrom(home, p), http.StatusTooManyRequests)
	s.pairOf(s.loginFrom(elsewhere, p))
	s.pairOf(s.loginFrom(stranger, p))
	s.want(s.stepUp(session.access, map[string]any{"password": p.password}), http.StatusNoContent)
}

func TestForgedAddressDoesNotMakeANetworkKnown(t *testing.T) {
	t.Parallel()
	s := newService(t) // it trusts no proxy
	p := s.user()
	proxied := s.behindProxy()
	s.pairOf(s.loginFrom(home, p)) // the header is ignored: the client is 127.0.0.1
	for range 10 {
		s.want(proxied.loginFrom(home, person{p.email, "Wrong-canary-1"}), http.StatusUnauthorized)
	}
	s.want(proxied.loginFrom(home, p), http.StatusTooManyRequests)
	// The header of an untrusted client does not lead to the budget of a known network either.
	known := s.user()
	proxied.pairOf(proxied.loginFrom(home, known))
	for range 10 {
		s.want(s.loginFrom(home, person{known.email, "Wrong-canary-1"}), http.StatusUnauthorized)
	}
	s.want(s.loginFrom(home, known), http.StatusTooManyRequests)
	proxied.pairOf(proxied.loginFrom(home+", "+home, known))
}

// The network is known only after the second factor.
func TestPasswordAloneDoesNotMakeANetworkKnown(t *testing.T) {
	t.Parallel()
	s := newService(t).behindProxy()
	o := s.guarded()
	challenge := func(address string) string {
		a := s.want(s.loginFrom(address, o.person), http.StatusUnauthorized)
		return a.body["mfa"].(map[string]any)["challenge_token"].(string)
	}
	challenge(stranger)
	s.want(s.post("/auth/mfa/challenge", map[string]any{"challenge_token": challenge(home), "code": s.next(o)}, "X-Forwarded-For", home), http.StatusOK)
	for range 10 {
		s.want(s.loginFrom(elsewhere, person{o.email, "Wrong-canary-1"}), http.StatusUnauthorized)
	}
	s.want(s.loginFrom(stranger, o.person), http.StatusTooManyRequests)
	challenge(home)
}

func TestUsedUpBudgetHasTheSameAnswerForEveryAddress(t *testing.T) {
	t.Parallel()
	s := newService(t).behindProxy()
	p, unknown := s.user(), newPerson()
	s.pairOf(s.loginFrom(home, p))
	var answers []answer
	for _, email := range []string{p.email, unknown.email} {
		s.spend(email, 99)
		answers = append(answers, s.want(s.loginFrom(stranger, person{email, "Wrong-canary-1"}), http.StatusUnauthorized))
		answers = append(answers, s.want(s.loginFrom(stranger, person{email, p.password}), http.StatusTooManyRequests))
	}
	for i := range 2 {
		if a, b := answers[i], answers[i+2]; a.Body != b.Body || len(a.Header) != len(b.Header) {
			t.Errorf("known: %s %v, unknown: %s %v", a.Body, a.Header, b.Body, b.Header)
		}
	}
	const q = `select count(*) from audit where action = 'password.locked' and details ->> 'used_up' = 'true' and details ->> 'budget' = 'password'`
	if n := one[int](s.deployment, q); n != 2 {
		t.Errorf("%d audit rows", n)
	}
}
