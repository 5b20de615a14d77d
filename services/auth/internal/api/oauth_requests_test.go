package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
)

func TestRefreshTokenGrant(t *testing.T) {
	t.Parallel()
	s := newService(t)
	first := s.login(s.user())
	exchange := func(refresh string, more ...string) answer {
		return s.form("/oauth/token", append([]string{"grant_type", "refresh_token", "refresh_token", refresh}, more...)...)
	}
	a := s.want(exchange(first.refresh, "client_id", "a-program"), http.StatusOK)
	if len(a.body) != 4 || a.body["token_type"] != "Bearer" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s", a.Body)
	}
	s.want(s.profile(a.body["access_token"].(string)), http.StatusOK)
	second := a.body["refresh_token"].(string)
	// It is the same chain of tokens as that of /auth/refresh.
	if again := s.pairOf(s.refresh(first.refresh)); again.refresh != second {
		t.Error("got another token")
	}
	c := s.client("read")
	third := s.want(exchange(second, "|", "Authorization", basic(c.id, c.key.Reveal())), http.StatusOK).body["refresh_token"].(string)
	for name, presented := range map[string]string{"unknown": token.New(token.Refresh).Reveal(), "text": "x", "an access token": first.access, "an API key": c.key.Reveal()} {
		s.refused(name, exchange(presented), http.StatusBadRequest, "invalid_grant")
	}
	s.refused("a scope", exchange(third, "scope", "admin"), http.StatusBadRequest, "invalid_scope")
	s.refused("no token", s.form("/oauth/token", "grant_type", "refresh_token"), http.StatusBadRequest, "invalid_request")
	s.refused("reused", exchange(first.refresh), http.StatusBadRequest, "invalid_grant")
	s.refused("the current token after the reuse", exchange(third), http.StatusBadRequest, "invalid_grant")
}

func TestConcurrentRefreshTokenGrantsGetTheSameToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	answers := make([]string, 50)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			a := s.want(s.form("/oauth/token", "grant_type", "refresh_token", "refresh_token", tokens.refresh), http.StatusOK)
			answers[i], _ = a.body["refresh_token"].(string)
		})
	}
	wait.Wait()
	for _, a := range answers {
		if a != answers[0] || a == "" {
			t.Fatal("requests got different tokens")
		}
	}
}

func TestInvalidOAuthRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := s.client("admin")
	credentials := "client_id=" + c.id + "&client_secret=" + c.key.Reveal()
	post := func(path, body string, headers ...string) answer {
		return s.post(path, body, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	}
	for name, a := range map[string]answer{
		"no body":                       post("/oauth/token", ""),
		"no grant type":                 post("/oauth/token", credentials),
		"an empty grant type":           post("/oauth/token", "grant_type=&"+credentials),
		"two grant types":               post("/oauth/token", "grant_type=client_credentials&grant_type=client_credentials&"+credentials),
		"two secrets":                   post("/oauth/token", "grant_type=client_credentials&client_secret=x&"+credentials),
		"an empty secret and a secret":  post("/oauth/token", "grant_type=client_credentials&client_secret=&"+credentials),
		"malformed escapes":             post("/oauth/token", "grant_type=client_credentials&x=%zz&"+credentials),
		"semicolons":                    post("/oauth/token", "grant_type=client_credentials;"+credentials),
		"NUL":                           post("/oauth/token", "grant_type=client_credentials&scope=%00&"+credentials),
		"invalid UTF-8":                 post("/oauth/token", "grant_type=client_credentials&scope=%ff&"+credentials),
		"JSON":                          s.post("/oauth/token", `{"grant_type":"client_credentials"}`),
		"no content type":               s.post("/oauth/token", "grant_type=client_credentials&"+credentials, "Content-Type", ""),
		"multipart":                     s.post("/oauth/token", "--x\r\n\r\n--x--", "Content-Type", "multipart/form-data; boundary=x"),
		"another charset":               s.post("/oauth/token", "grant_type=client_credentials&"+credentials, "Content-Type", "application/x-www-form-urlencoded; charset=utf-16"),
		"in the query":                  post("/oauth/token?grant_type=client_credentials&"+credentials, "x=1"),
		"introspection without a token": post("/oauth/introspect", credentials),
		"revocation of an empty token":  post("/oauth/revoke", "token="),
	} {
		s.refused(name, a, http.StatusBadRequest, "invalid_request")
		if strings.Contains(a.Body, c.id) || strings.Contains(a.Body, "client_credentials") {
			t.Errorf("%s: the answer contains a sent value: %s", name, a.Body)
		}
	}
	for _, grant := range []string{"password", "authorization_code", "Client_Credentials", "urn:ietf:params:oauth:grant-type:device_code"} {
		s.refused(grant, post("/oauth/token", "grant_type="+url.QueryEscape(grant)+"&"+credentials), http.StatusBadRequest, "unsupported_grant_type")
	}
	s.refused("too large", post("/oauth/token", strings.Repeat("x", 16<<10+1)), http.StatusRequestEntityTooLarge, "invalid_request")
	s.want(s.post("/oauth/token", "grant_type=client_credentials&"+credentials, "Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"), http.StatusOK)
	s.asService = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable"
	down := s.replica(oldKey)
	for path, body := range map[string]string{"/oauth/token": "grant_type=client_credentials&", "/oauth/introspect": "token=x&", "/oauth/revoke": "token=" + token.New(token.Refresh).Reveal() + "&"} {
		a := down.post(path, body+credentials, "Content-Type", "application/x-www-form-urlencoded")
		s.refused(path, a, http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	rated := s.rated(storetest.OwnRedis(t), func(s *service) { s.settings.Rates.Token = 1 })
	rated.refused("within the limit", rated.form("/oauth/token", "grant_type", "x"), http.StatusBadRequest, "unsupported_grant_type")
	rated.refused("over the limit", rated.form("/oauth/token", "grant_type", "x"), http.StatusTooManyRequests, "temporarily_unavailable")
}

func TestTheMetadataIsTrue(t *testing.T) {
	t.Parallel()
	s := newService(t)
	a := s.want(s.request(http.MethodGet, "/.well-known/oauth-authorization-server", nil), http.StatusOK)
	if a.body["issuer"] != issuer || len(a.body["response_types_supported"].([]any)) != 0 {
		t.Errorf("got %s", a.Body)
	}
	for field, value := range a.body {
		address, _ := value.(string)
		path, is := strings.CutPrefix(address, issuer)
		if !is || field == "issuer" {
			continue
		}
		method := http.MethodPost
		if strings.HasSuffix(field, "_uri") || strings.HasSuffix(field, "_documentation") {
			method = http.MethodGet
		}
		if got := s.request(method, path, nil).Status; got == http.StatusNotFound || got == http.StatusMethodNotAllowed {
			t.Errorf("%s: %s answers %d", field, path, got)
		}
	}
	c := s.client("admin,read")
	for _, grant := range a.body["grant_types_supported"].([]any) {
		if got := s.form("/oauth/token", "grant_type", grant.(string), "client_id", c.id, "client_secret", c.key.Reveal()); got.body["error"] == "unsupported_grant_type" {
			t.Errorf("%s: got %s", grant, got.Body)
		}
	}
	for _, scope := range a.body["scopes_supported"].([]any) {
		s.want(s.grant(c, "scope", scope.(string)), http.StatusOK)
	}
}
