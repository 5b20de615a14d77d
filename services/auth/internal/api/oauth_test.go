package api_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/token"
)

// form posts pairs of field and value as a form. Pairs after "|" are headers.
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

// client is an OAuth client: an API key.
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

// grant requests an access token for a client.
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

// refused checks for an error in the form of OAuth.
func (s *service) refused(name string, a answer, status int, code string) {
	s.t.Helper()
	if a.Status != status || a.body["error"] != code || a.body["error_description"] == "" || len(a.body) != 2 || a.Header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%s: want %d %s, got %d %s", name, status, code, a.Status, a.Body)
	}
	if challenge := a.Header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (status == http.StatusUnauthorized) {
		s.t.Errorf("%s: WWW-Authenticate is %q", name, challenge)
	}
}

func TestClientCredentialsGrant(t *testing.T) {
	t.Parallel()
	s := newService(t)
	admin, reader := s.client("admin"), s.client("read")
	tokens := accesstoken.NewReader(s.owner, issuer) // as pin-admin reads them
	for name, a := range map[string]answer{
		"in the body":   s.grant(admin),
		"by prefix":     s.grant(client{admin.key.Prefix(), admin.key}),
		"in the header": s.form("/oauth/token/", "grant_type", "client_credentials", "|", "Authorization", basic(admin.id, admin.key.Reveal())),
		"in the header, with an empty one in the body": s.form("/oauth/token", "grant_type", "client_credentials", "scope", "", "client_secret", "", "x", "1", "x", "2", "|", "Authorization", basic(admin.id, admin.key.Reveal())),
		"upper case": s.grant(client{strings.ToUpper(admin.id), admin.key}),
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
		t.Errorf("%d audit rows", n)
	}
}

func TestTokenOfAClientEndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := accesstoken.NewReader(s.owner, issuer)
	for name, end := range map[string]string{
		"revoked": `update api_keys set revoked_at = now() where id = $1`, "expired": `update api_keys set expires_at = now() where id = $1`,
		"deleted": `delete from api_keys where id = $1`,
	} {
		c, asking := s.client("admin"), s.client("read")
		access := s.want(s.grant(c), http.StatusOK).body["access_token"].(string)
		// A token has no scope that its key has lost.
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

func TestTokenOfAClientIsRefusedByUserEndpoints(t *testing.T) {
	t.Parallel()
	s := newService(t)
	access := s.want(s.grant(s.client("admin")), http.StatusOK).body["access_token"].(string)
	s.want(s.profile(access), http.StatusUnauthorized)
	s.want(s.as(access, http.MethodDelete, "/auth/account", nil), http.StatusUnauthorized)
	s.want(s.logout(access), http.StatusUnauthorized)
	s.refused("revoke", s.form("/oauth/revoke", "token", access), http.StatusBadRequest, "unsupported_token_type")
}

func TestInvalidClientsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c, other := s.client("admin"), s.client("admin")
	valid, key := basic(c.id, c.key.Reveal()), c.key.Reveal()
	for name, a := range map[string]answer{
		"no credentials":            s.form("/oauth/token", "grant_type", "client_credentials"),
		"only an id":                s.form("/oauth/token", "grant_type", "client_credentials", "client_id", c.id),
		"only a key":                s.form("/oauth/token", "grant_type", "client_credentials", "client_secret", key),
		"the id of another key":     s.grant(client{other.id, c.key}),
		"the prefix of another key": s.grant(client{other.key.Prefix(), c.key}),
		"an unknown key":            s.grant(client{c.id, token.New(token.APIKey)}),
		"a proxy key":               s.grant(client{c.id, s.people.ProxyKey(s.people.Instance())}),
		"a password":                s.form("/oauth/token", "grant_type", "client_credentials", "client_id", c.id, "client_secret", "Canary-password"),
		"another scheme":            s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Bearer "+key),
		"basic without a colon":     s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(key))),
		"malformed base64":          s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Basic %%%"),
		"malformed escapes":         s.form("/oauth/token", "grant_type", "client_credentials", "|", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.id+":%zz"+key))),
		"in the query":              s.form("/oauth/token?client_id="+c.id+"&client_secret="+key, "grant_type", "client_credentials"),
		"introspection":             s.form("/oauth/introspect", "token", "x"),
		"revocation":                s.form("/oauth/revoke", "token", "x", "client_id", c.id, "client_secret", other.key.Reveal()),
		"a refresh":                 s.form("/oauth/token", "grant_type", "refresh_token", "refresh_token", "x", "client_id", c.id, "client_secret", other.key.Reveal()),
	} {
		s.refused(name, a, http.StatusUnauthorized, "invalid_client")
	}
	s.refused("in the header and in the body", s.form("/oauth/token", "grant_type", "client_credentials", "client_id", c.id, "client_secret", key, "|", "Authorization", valid),
		http.StatusBadRequest, "invalid_request")
	// The header of API keys is not accepted here.
	s.refused("X-Api-Key", s.form("/oauth/introspect", "token", "x", "|", "X-Api-Key", key), http.StatusUnauthorized, "invalid_client")
}
