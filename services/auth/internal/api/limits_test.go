package api_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// rated returns a replica with a Redis of its own and with changed limits. It trusts a proxy on this machine, so the test sets
// the client address with X-Forwarded-For.
func (s *service) rated(server *storetest.RedisServer, change func(*service)) *service {
	s.t.Helper()
	s.redisURL, s.proxies = server.URL, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	change(s)
	return s.replica(oldKey)
}

func TestPublicEndpointsAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	server := storetest.OwnRedis(t)
	first := s.rated(server, func(s *service) { s.settings.Rates.Login, s.settings.Rates.Signup = 3, 1 })
	replicas := []*service{first, s.replica(oldKey)}
	for i, address := range []string{"203.0.113.7", "203.0.113.8", "2001:db8:1:2::1"} {
		for n := range 5 {
			ask := replicas[n%2]
			from := address
			if i == 2 {
				from = fmt.Sprintf("2001:db8:1:2::%x", n+1) // one network
			}
			a := ask.post("/auth/login", p.form(), "X-Forwarded-For", "198.51.100."+strconv.Itoa(n)+", "+from)
			if n < 3 {
				ask.want(a, http.StatusOK)
			} else if ask.want(a, http.StatusTooManyRequests); a.body["detail"] == "" || a.Header.Get("Retry-After") == "" {
				t.Errorf("got %s %v", a.Body, a.Header)
			}
			remaining, reset := strconv.Itoa(max(0, 2-n)), a.Header.Get("RateLimit-Reset")
			if seconds, err := strconv.Atoi(reset); err != nil || seconds < 1 || seconds > 60 || a.Header.Get("RateLimit-Limit") != "3" || a.Header.Get("RateLimit-Remaining") != remaining {
				t.Errorf("request %d from %s: %v", n, from, a.Header)
			}
		}
	}
	// Each route has a limit of its own.
	first.want(first.post("/auth/signup", newPerson().form(), "X-Forwarded-For", "203.0.113.7"), http.StatusOK)
}

func TestClientWithManyIPv6NetworksIsLimited(t *testing.T) {
	t.Parallel()
	s := newService(t).rated(storetest.OwnRedis(t), func(s *service) { s.settings.Rates.Login = 3 })
	refused := 0
	for n := range 20 {
		a := s.post("/auth/login", "{", "X-Forwarded-For", fmt.Sprintf("2001:db8:1:2%02x::1", n))
		if a.Status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 8 { // a /56 has 4 times the limit
		t.Errorf("%d of 20 requests from one /56 were refused, want 8", refused)
	}
}

// The addresses of a signed-in user do not matter.
func TestSignedInEndpointsAreLimitedByUser(t *testing.T) {
	t.Parallel()
	s := newService(t)
	first, second := s.login(s.user()).access, s.login(s.user()).access
	s = s.rated(storetest.OwnRedis(t), func(s *service) { s.settings.Rates.Challenge = 1 })
	stepUp := func(access, address string, status int) {
		t.Helper()
		s.want(s.post("/auth/step-up", map[string]any{"password": "Wrong-canary-1"}, "Authorization", "Bearer "+access, "X-Forwarded-For", address), status)
	}
	stepUp(first, "203.0.113.7", http.StatusForbidden)
	stepUp(second, "203.0.113.7", http.StatusForbidden)
	stepUp(first, "203.0.113.8", http.StatusTooManyRequests)
}

func TestMalformedRequestsCountToo(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s = s.rated(storetest.OwnRedis(t), func(s *service) { s.settings.Rates.Signup = 2 })
	s.want(s.post("/auth/signup", "{"), http.StatusUnprocessableEntity)
	s.want(s.post("/auth/signup/", map[string]any{}), http.StatusUnprocessableEntity)
	s.want(s.post("/auth/signup", newPerson().form()), http.StatusTooManyRequests)
}

func TestWithoutRedisLoginsWorkAndAreLimited(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	server := storetest.OwnRedis(t)
	s = s.rated(server, func(s *service) { s.settings.Rates.Login = 3 })
	server.Stop()
	for range 3 {
		s.login(p)
	}
	s.want(s.post("/auth/login", p.form()), http.StatusTooManyRequests)
}

func TestAuditRowsHaveTheClientAddress(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.post("/auth/login", newPerson().form(), "X-Forwarded-For", "198.51.100.1")
	s.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	proxied := s.replica(oldKey)
	proxied.post("/auth/login", newPerson().form(), "X-Forwarded-For", "198.51.100.1, 203.0.113.7")
	for address, want := range map[string]int{"127.0.0.1": 1, "203.0.113.7": 1, "198.51.100.1": 0} {
		if n := one[int](s.deployment, `select count(*) from audit where action = 'login.refused' and address = $1`, address); n != want {
			t.Errorf("%d rows from %s, want %d", n, address, want)
		}
	}
}
