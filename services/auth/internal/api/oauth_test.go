package api_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/storetest"
	"github.com/countersign/countersign/pkg/token"
)

// form posts fields in pairs, as OAuth has it. Headers come in pairs behind a "|".
func (s *service) form(path string, pairs ...string) answer {
	s.t.Helper()
	fields, headers, fill := url.Values{}, []string{"Content-Type", "application/x-www-form-urlencoded"}, true
	for i := 0; i < len(pairs); {
		switch {
		case pairs[i] == "|":
			fill = false
			i++
			continue
		case fill:
			fields.Add(pairs[i], pairs[i+1])
			if pairs[i] == "client_secret" || strings.HasSuffix(pairs[i], "token") {
				s.remember(map[string]any{"password": pairs[i+1]})
			}
		default:
			headers = append(headers, pairs[i], pairs[i+1])
		}
		i += 2
	}
	return s.request(http.MethodPost, path, fields.Encode(), headers...)
}

// client is a program with an API key.
type client struct {
	id  string
	key token.Token
}

func (s *service) client(scopes string) client {
	s.t.Helper()
	key := s.people.APIKey(scopes)
	return client{one[string](s.deployment, `select id from api_keys where key_hash = $1`, key.Hash()), key}
}

func basic(id, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(password)))
}

// grant exchanges a client's key.
func (s *service) grant(c client, more ...string) answer {
	s.t.Helper()
	return s.form("/oauth/token", append([]string{"grant_type", "client_credentials", "client_id", c.id, "client_secret", c.key.Reveal()}, more...)...)
}

func (s *service) introspect(c client, presented string) answer {
	s.t.Helper()
	a := s.want(s.form("/oauth/introspect", "token", presented, "|", "Authorization", basic(c.id, c.key.Reveal())), http.StatusOK)
	if a.Header.Get("Cache-Control") != "no-store" || a.body["active"] == false && len(a.body) != 1 {
		s.t.Errorf("got %s %v", a.Body, a.Header)
	}
	return a
}

// refused wants an error of OAuth.
func (s *service) refused(name string, a answer, status int, code string) {
	s.t.Helper()
	if a.Status != status || a.body["error"] != code || a.body["error_description"] == "" || len(a.body) != 2 || a.Header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%s: want %d %s, got %d %s", name, status, code, a.Status, a.Body)
	}
	if challenge := a.Header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (status == http.StatusUnauthorized) {
		s.t.Errorf("%s: WWW-Authenticate is %q", name, challenge)
	}
}

func TestAClientGetsAnAccessToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	admin, reader := s.client("admin"), s.client("read")
	tokens := caller.NewAccessTokens(s.owner, issuer) // as at pin-admin
	for name, a := range map[string]answer{
		"in the body":     s.grant(admin),
		"by prefix":       s.grant(client{admin.key.Prefix(), admin.key}),
		"in the header":   s.form("/oauth/token/", "grant_type", "client_credentials", "|", "Authorization", basic(admin.id, admin.key.Reveal())),
		"beside an empty": s.form("/oauth/token", "grant_type", "client_credentials", "scope", "", "client_secret", "", "x", "1", "x", "2", "|", "Authorization", basic(admin.id, admin.key.Reveal())),
		"upper case":      s.grant(client{strings.ToUpper(admin.id), admin.key}),
	} {
		s.want(a, http.StatusOK)
		if len(a.body) != 4 || a.body["token_type"] != "Bearer" || a.body["scope"] != "admin" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %s", name, a.Body)
		}
		if in, _ := a.body["expires_in"].(float64); in < 890 || in > 900 {
			t.Errorf("%s: expires in %v", name, in)
		}
		who, err := tokens.Authenticate(t.Context(), a.body["access_token"].(string))
		if err != nil || who.Kind != caller.APIKey || who.ID.String() != admin.id || !who.MayChange() || who.Admin {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	for _, rule := range []struct {
		scope     string
		c         client
		change    bool
		refused   bool
		effective string
	}{
		{"read", admin, false, false, "read"}, {"admin read", admin, true, false, "admin read"}, {" admin ", admin, true, false, "admin"},
		{"read", reader, false, false, "read"}, {"admin", reader, false, true, ""}, {"read admin", reader, false, true, ""},
		{"everything", admin, false, true, ""}, {"Admin", admin, false, true, ""}, {"admin,read", admin, false, true, ""},
	} {
		a := s.grant(rule.c, "scope", rule.scope)
		if rule.refused {
			s.refused(rule.scope, a, http.StatusBadRequest, "invalid_scope")
			continue
		}
		who, err := tokens.Authenticate(t.Context(), s.want(a, http.StatusOK).body["access_token"].(string))
		if err != nil || a.body["scope"] != rule.effective || who.MayChange() != rule.change || !who.MayRead() {
			t.Errorf("%s: %s %+v, %v", rule.scope, a.Body, who, err)
		}
	}
	const trail = `select count(*) from audit where action = 'token.issued' and actor_kind = 'api_key' and actor_id = $1 and target_id = $1 and address <> ''`
	if n := one[int](s.deployment, trail, reader.id); n != 1 {
		t.Errorf("%d rows in the audit trail", n)
	}
}

func TestAClientsTokenEndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := caller.NewAccessTokens(s.owner, issuer)
	for name, end := range map[string]string{
		"revoked": `update api_keys set revoked_at = now() where id = $1`, "expired": `update api_keys set expires_at = now() where id = $1`,
		"deleted": `delete from api_keys where id = $1`,
	} {
		c, asking := s.client("admin"), s.client("read")
		access := s.want(s.grant(c), http.StatusOK).body["access_token"].(string)
		// It cannot do more than the key can now, whatever it could.
		s.exec(`update api_keys set scopes = '{read}' where id = $1`, c.id)
		if who, err := tokens.Authenticate(t.Context(), access); err != nil || who.MayRead() || who.MayChange() {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
		s.exec(`update api_keys set scopes = '{admin}' where id = $1`, c.id)
		if a := s.introspect(asking, access); a.body["active"] != true || a.body["client_id"] != c.id || a.body["sub"] != c.id || a.body["scope"] != "admin" || a.body["sid"] != nil {
			t.Errorf("%s: got %s", name, a.Body)
		}
		s.exec(end, c.id)
		if _, err := tokens.Authenticate(t.Context(), access); err != caller.ErrInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if a := s.introspect(asking, access); a.body["active"] != false {
			t.Errorf("%s: got %s", name, a.Body)
		}
		s.refused(name, s.grant(c), http.StatusUnauthorized, "invalid_client")
	}
}

func TestAClientsTokenIsNoUsers(t *testing.T) {
	t.Parallel()
	s := newService(t)
	access := s.want(s.grant(s.client("admin")), http.StatusOK).body["access_token"].(string)
	s.want(s.profile(access), http.StatusUnauthorized)
	s.want(s.as(access, http.MethodDelete, "/auth/account", nil), http.StatusUnauthorized)
	s.want(s.logout(access), http.StatusUnauthorized)
	s.refused("revoke", s.form("/oauth/revoke", "token", access), http.StatusBadRequest, "unsupported_token_type")
}

func TestClientsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c, other := s.client("admin"), s.client("admin")
	good, key := basic(c.id, c.key.Reveal()), c.key.Reveal()
	for name, a := range map[string]answer{
		"nobody":                s.form("/oauth/token", "grant_type", "client_credentials"),
		"an id alone":           s.form("/oauth/token", "grant_type", "client_credentials", "client_id", c.id),
		"a key alone":           s.form("/oauth/token", "grant_type", "client_credentials", "client_secret", key),
		"another's id":          s.grant(client{other.id, c.key}),
		"another's prefix":      s.grant(client{other.key.Prefix(), c.key}),
		"an unknown key":        s.grant(client{c.id, token.New(token.APIKey)}),
		"a proxy key":           s.grant(client{c.id, s.people.ProxyKey(s.people.Instance())}),
		"a password":            s.form("/oauth/token", "grant_type", "client_credentials", "client_id", c.id, "client_secret", "Canary-password"),
		"another scheme":        s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Bearer "+key),
		"basic without a colon": s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(key))),
		"broken basic":          s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Basic %%%"),
		"escapes that are none": s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.id+":%zz"+key))),
		"in the query":          s.form("/oauth/token?client_id="+c.id+"&client_secret="+key, "grant_type", "client_credentials"),
		"introspection":         s.form("/oauth/introspect", "token", "x"),
		"revocation":            s.form("/oauth/revoke", "token", "x", "client_id", c.id, "client_secret", other.key.Reveal()),
		"a refresh":             s.form("/oauth/token", "grant_type", "refresh_token", "refresh_token", "x", "client_id", c.id, "client_secret", other.key.Reveal()),
	} {
		s.refused(name, a, http.StatusUnauthorized, "invalid_client")
	}
	s.refused("two ways", s.form("/oauth/token", "grant_type", "client_credentials", "client_id", c.id, "client_secret", key, "|", "Authorization", good),
		http.StatusBadRequest, "invalid_request")
	// An API key opens no door by its header.
	s.refused("X-Api-Key", s.form("/oauth/introspect", "token", "x", "|", "X-Api-Key", key), http.StatusUnauthorized, "invalid_client")
}

func TestRefreshingByOAuth(t *testing.T) {
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
	// It is the same chain as /auth/refresh's.
	if again := s.pairOf(s.refresh(first.refresh)); again.refresh != second {
		t.Error("another token")
	}
	c := s.client("read")
	third := s.want(exchange(second, "|", "Authorization", basic(c.id, c.key.Reveal())), http.StatusOK).body["refresh_token"].(string)
	for name, presented := range map[string]string{"unknown": token.New(token.Refresh).Reveal(), "text": "x", "an access token": first.access, "an API key": c.key.Reveal()} {
		s.refused(name, exchange(presented), http.StatusBadRequest, "invalid_grant")
	}
	s.refused("a scope", exchange(third, "scope", "admin"), http.StatusBadRequest, "invalid_scope")
	s.refused("none", s.form("/oauth/token", "grant_type", "refresh_token"), http.StatusBadRequest, "invalid_request")
	s.refused("reused", exchange(first.refresh), http.StatusBadRequest, "invalid_grant")
	s.refused("the family's", exchange(third), http.StatusBadRequest, "invalid_grant")
}

func TestManyRefreshesByOAuthAtOnceLogNobodyOut(t *testing.T) {
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
			t.Fatal("not everybody got the same token")
		}
	}
}

func TestBadRequestsOfOAuth(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := s.client("admin")
	credentials := "client_id=" + c.id + "&client_secret=" + c.key.Reveal()
	post := func(path, body string, headers ...string) answer {
		return s.post(path, body, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	}
	for name, a := range map[string]answer{
		"no body":           post("/oauth/token", ""),
		"no grant type":     post("/oauth/token", credentials),
		"an empty one":      post("/oauth/token", "grant_type=&"+credentials),
		"twice":             post("/oauth/token", "grant_type=client_credentials&grant_type=client_credentials&"+credentials),
		"a secret twice":    post("/oauth/token", "grant_type=client_credentials&client_secret=x&"+credentials),
		"an empty and one":  post("/oauth/token", "grant_type=client_credentials&client_secret=&"+credentials),
		"broken escapes":    post("/oauth/token", "grant_type=client_credentials&x=%zz&"+credentials),
		"semicolons":        post("/oauth/token", "grant_type=client_credentials;"+credentials),
		"NUL":               post("/oauth/token", "grant_type=client_credentials&scope=%00&"+credentials),
		"broken UTF-8":      post("/oauth/token", "grant_type=client_credentials&scope=%ff&"+credentials),
		"JSON":              s.post("/oauth/token", `{"grant_type":"client_credentials"}`),
		"no content type":   s.post("/oauth/token", "grant_type=client_credentials&"+credentials, "Content-Type", ""),
		"multipart":         s.post("/oauth/token", "--x\r\n\r\n--x--", "Content-Type", "multipart/form-data; boundary=x"),
		"another charset":   s.post("/oauth/token", "grant_type=client_credentials&"+credentials, "Content-Type", "application/x-www-form-urlencoded; charset=utf-16"),
		"in the query":      post("/oauth/token?grant_type=client_credentials&"+credentials, "x=1"),
		"introspect nought": post("/oauth/introspect", credentials),
		"revoke nought":     post("/oauth/revoke", "token="),
	} {
		s.refused(name, a, http.StatusBadRequest, "invalid_request")
		if strings.Contains(a.Body, c.id) || strings.Contains(a.Body, "client_credentials") {
			t.Errorf("%s: the answer repeats what was sent: %s", name, a.Body)
		}
	}
	for _, grant := range []string{"password", "authorization_code", "Client_Credentials", "urn:ietf:params:oauth:grant-type:device_code"} {
		s.refused(grant, post("/oauth/token", "grant_type="+url.QueryEscape(grant)+"&"+credentials), http.StatusBadRequest, "unsupported_grant_type")
	}
	s.refused("too large", post("/oauth/token", strings.Repeat("x", 16<<10+1)), http.StatusRequestEntityTooLarge, "invalid_request")
	s.want(s.post("/oauth/token", "grant_type=client_credentials&"+credentials, "Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"), http.StatusOK)
	s.asService = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable"
	away := s.replica(oldKey)
	for path, body := range map[string]string{"/oauth/token": "grant_type=client_credentials&", "/oauth/introspect": "token=x&", "/oauth/revoke": "token=" + token.New(token.Refresh).Reveal() + "&"} {
		a := away.post(path, body+credentials, "Content-Type", "application/x-www-form-urlencoded")
		s.refused(path, a, http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	rated := s.rated(storetest.OwnRedis(t), func(s *service) { s.rates.Token = 1 })
	rated.refused("within the limit", rated.form("/oauth/token", "grant_type", "x"), http.StatusBadRequest, "unsupported_grant_type")
	rated.refused("over the limit", rated.form("/oauth/token", "grant_type", "x"), http.StatusTooManyRequests, "temporarily_unavailable")
}

func TestIntrospectionTellsWhatIsTrueNow(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c, p := s.client("read"), s.user()
	tokens := s.login(p)
	claims, _ := s.claimsOf(tokens.access)
	a := s.introspect(c, tokens.access)
	for field, want := range map[string]any{
		"active": true, "token_type": "Bearer", "sub": claims.Subject, "sid": claims.SessionID.String(), "username": p.email, "role": "user", "iss": issuer,
		"aud": "countersign", "jti": claims.ID, "exp": float64(claims.ExpiresAt.Unix()), "iat": float64(claims.IssuedAt.Unix()), "scope": nil, "client_id": nil,
	} {
		if a.body[field] != want {
			t.Errorf("%s is %v, want %v", field, a.body[field], want)
		}
	}
	a = s.introspect(c, tokens.refresh)
	if a.body["active"] != true || a.body["token_type"] != "refresh_token" || a.body["sub"] != claims.Subject || a.body["exp"].(float64) < float64(time.Now().Add(719*time.Hour).Unix()) {
		t.Errorf("got %s", a.Body)
	}
	// A role that was lost is not told any more.
	s.exec(`update users set role = 'admin'`)
	admin := s.login(p)
	if a := s.introspect(c, admin.access); a.body["role"] != "admin" {
		t.Errorf("got %s", a.Body)
	}
	s.exec(`update users set role = 'user'`)
	if a := s.introspect(c, admin.access); a.body["role"] != "user" {
		t.Errorf("got %s", a.Body)
	}

	next := s.pairOf(s.refresh(tokens.refresh))
	bad := s.forgeries(tokens.access)
	bad["used up"], bad["an API key"], bad["expired"] = tokens.refresh, c.key.Reveal(), s.minted(tokens.access, func(c *caller.Claims) { c.ExpiresAt = late(0) })
	for name, text := range bad {
		if a := s.introspect(c, text); a.body["active"] != false {
			t.Errorf("%s: got %s", name, a.Body)
		}
	}
	if again := s.pairOf(s.refresh(tokens.refresh)); again.refresh != next.refresh {
		t.Error("asking has changed something")
	}
	s.want(s.logout(next.access), http.StatusOK)
	for _, text := range []string{tokens.access, next.access, next.refresh} {
		if a := s.introspect(c, text); a.body["active"] != false {
			t.Errorf("after the end: %s", a.Body)
		}
	}
}

func TestRevokingATokenEndsItsSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	stays := s.login(p)
	for name, which := range map[string]func(first, second pair) string{
		"access token":        func(_, second pair) string { return second.access },
		"older access token":  func(first, _ pair) string { return first.access },
		"refresh token":       func(_, second pair) string { return second.refresh },
		"older refresh token": func(first, _ pair) string { return first.refresh },
		"an expired one's last": func(first, _ pair) string {
			return s.minted(first.access, func(c *caller.Claims) { c.ExpiresAt = late(time.Hour) })
		},
	} {
		first := s.login(p)
		second := s.pairOf(s.refresh(first.refresh))
		for range 2 {
			if a := s.want(s.form("/oauth/revoke", "token", which(first, second), "token_type_hint", "refresh_token"), http.StatusOK); a.Body != "" {
				t.Errorf("%s: got %q", name, a.Body)
			}
		}
		s.want(s.profile(second.access), http.StatusUnauthorized)
		s.want(s.refresh(second.refresh), http.StatusUnauthorized)
		const trail = `select count(*) from audit where action = 'session.ended' and actor_kind = 'user' and target_id = $1`
		if n := one[int](s.deployment, trail, s.sessionOf(first)); n != 1 {
			t.Errorf("%s: %d rows in the audit trail", name, n)
		}
	}
	for name, text := range s.forgeries(stays.access) {
		if text != "" {
			s.want(s.form("/oauth/revoke", "token", text), http.StatusOK)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
	s.want(s.profile(stays.access), http.StatusOK)
	s.pairOf(s.refresh(stays.refresh))
}

// TestATokenCannotBeTwoThings: whoever could add a claim to a token would still get no more than one of the two callers.
func TestATokenCannotBeTwoThings(t *testing.T) {
	t.Parallel()
	s := newService(t)
	access := s.login(s.user()).access
	claims, _ := s.claimsOf(access)
	claims.ClientID, claims.Scope = uuid.New(), "admin"
	text, err := s.keys.Sign(context.Background(), claims)
	must(t, err)
	s.want(s.profile(text), http.StatusUnauthorized)
	claims = caller.Claims{RegisteredClaims: claims.RegisteredClaims, Scope: "admin"}
	claims.ExpiresAt = jwt.NewNumericDate(time.Now().Add(time.Hour))
	text, err = s.keys.Sign(context.Background(), claims)
	must(t, err)
	s.want(s.profile(text), http.StatusUnauthorized)
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
