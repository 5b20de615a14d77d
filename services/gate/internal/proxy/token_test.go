package proxy_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/services/gate/internal/bearer"
	"github.com/countersign/countersign/services/gate/internal/bearer/bearertest"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
	"github.com/countersign/countersign/services/gate/internal/proxy"
)

// tokens are a gate's settings with access tokens, and the tokens.
type tokens struct {
	issuer      *bearertest.Issuer
	countersign *clienttest.Countersign
	settings    func(*proxy.Settings)
	of          func(subject string, changes ...any) string
}

func newTokens(t *testing.T) tokens {
	private := bearertest.Key(t, "ES256")
	i, d := bearertest.New(t, bearertest.Public(private, "1")), clienttest.New(t)
	d.Account("app", "anna@app", "anna-identity", "anna")
	d.Account("app", "eve@app", "eve-identity", "eve")
	c, err := client.New(client.Config{URL: d.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey)})
	if err != nil {
		t.Fatal(err)
	}
	v, err := bearer.New(bearer.Settings{Issuer: i.URL, Audience: bearertest.Audience, Channel: "app"}, c)
	if err != nil {
		t.Fatal(err)
	}
	return tokens{
		i, d, func(s *proxy.Settings) { s.Tokens, s.Person = v, client.Person{} },
		func(subject string, changes ...any) string {
			return "Bearer " + bearertest.Sign(t, "ES256", private, "1", i.Claims(subject, changes...))
		},
	}
}

func TestTokenSaysWhoCalls(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerOK)
	var from gate.Caller
	g := start(t, s, &judge{decide: func(_ context.Context, caller gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		from = caller
		return gate.Verdict{Forward: call.Raw}
	}}, k.settings)
	token := k.of("anna@app")
	if got := send(t, "POST", g.URL+"/mcp", pay, "Authorization", token); got.body != ok || s.last(t).header.Get("Authorization") != token {
		t.Errorf("%+v, the server got %+v", got, s.last(t))
	}
	if from.Person != (client.Person{Customer: "anna", Identity: "anna-identity"}) {
		t.Errorf("%+v", from)
	}
}

func TestRequestWithoutAValidTokenIsRefused(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerOK)
	for _, public := range []string{"", "https://gate.example/mcp"} {
		g := start(t, s, &judge{}, func(p *proxy.Settings) {
			k.settings(p)
			if public != "" {
				p.PublicURL, _ = url.Parse(public)
			}
		})
		challenge := ""
		if public != "" {
			challenge = `resource_metadata="https://gate.example/.well-known/oauth-protected-resource/mcp"`
		}
		for name, c := range map[string]struct{ authorization, want string }{
			"no token":      {"", "Bearer " + challenge},
			"another way":   {"Basic YTpi", "Bearer " + challenge},
			"empty":         {"Bearer ", "Bearer " + challenge},
			"invalid":       {"Bearer canary", `Bearer error="invalid_token", ` + challenge},
			"too old":       {k.of("anna@app", "exp", 1), `Bearer error="invalid_token", ` + challenge},
			"other server":  {k.of("anna@app", "aud", "x"), `Bearer error="invalid_token", ` + challenge},
			"without a sub": {k.of("anna@app", "sub", nil), `Bearer error="invalid_token", ` + challenge},
		} {
			for method, body := range map[string]string{"POST": ping, "GET": "", "DELETE": ""} {
				got := send(t, method, g.URL+"/mcp", body, "Authorization", c.authorization)
				if want := strings.TrimSuffix(strings.TrimSpace(c.want), ","); got.status != 401 || got.header.Get("WWW-Authenticate") != want || strings.Contains(got.body, "canary") {
					t.Errorf("%s, %s: %+v, want %s", name, method, got, want)
				}
			}
		}
		if got := send(t, "POST", g.URL+"/mcp?access_token="+strings.TrimPrefix(k.of("anna@app"), "Bearer "), ping); got.status != 401 {
			t.Errorf("a token in the query: %+v", got)
		}
	}
	if got := s.requests(); len(got) != 0 {
		t.Errorf("the server got %+v", got)
	}
}

func TestAccountThatIsNotKnownCallsNothing(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerOK)
	g := start(t, s, &judge{}, k.settings)
	got := send(t, "POST", g.URL+"/mcp", pay, "Authorization", k.of("nobody@app"))
	if id, _, text := got.failure(t); got.status != 403 || id != "1" || !strings.HasPrefix(text, "NOT EXECUTED") || len(s.requests()) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestCountersignIsNeededOnlyForCalls(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerSession)
	k.countersign.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	g := start(t, s, &judge{}, k.settings)
	token := k.of("anna@app")
	id := send(t, "POST", g.URL+"/mcp", initialize, "Authorization", token).header.Get("Mcp-Session-Id")
	if got := send(t, "POST", g.URL+"/mcp", ping, "Authorization", token, "Mcp-Session-Id", id); got.body != ok {
		t.Errorf("%+v", got)
	}
	before := len(s.requests())
	got := send(t, "POST", g.URL+"/mcp", pay, "Authorization", token, "Mcp-Session-Id", id)
	if id, _, text := got.failure(t); got.status != 503 || id != "1" || !strings.HasPrefix(text, "NOT EXECUTED") || len(s.requests()) != before {
		t.Errorf("%+v", got)
	}
}

func TestIssuerThatIsDown(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerOK)
	k.issuer.Down(true)
	g := start(t, s, &judge{}, k.settings)
	if got := send(t, "POST", g.URL+"/mcp", ping, "Authorization", k.of("anna@app")); got.status != 503 || got.header.Get("Retry-After") == "" || len(s.requests()) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSessionBelongsToTheSubjectOfTheToken(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerSession)
	var delivered []string
	g := start(t, s, &judge{delivered: func(from gate.Caller, _ message.Message) bool {
		delivered = append(delivered, from.Person.Customer)
		return true
	}}, k.settings)
	id := send(t, "POST", g.URL+"/mcp", initialize, "Authorization", k.of("anna@app")).header.Get("Mcp-Session-Id")
	before := len(s.requests())
	for method, body := range map[string]string{"POST": ping, "GET": "", "DELETE": ""} {
		if got := send(t, method, g.URL+"/mcp", body, "Authorization", k.of("eve@app"), "Mcp-Session-Id", id); got.status != 404 || len(s.requests()) != before {
			t.Errorf("%s: %+v", method, got)
		}
	}
	// A newer token of the same subject continues the session.
	if got := send(t, "POST", g.URL+"/mcp", ping, "Authorization", k.of("anna@app", "jti", "2"), "Mcp-Session-Id", id); got.status != 200 {
		t.Errorf("%+v", got)
	}
	// A response to a request of the gate belongs to the sender's own person.
	send(t, "POST", g.URL+"/mcp", `{"jsonrpc":"2.0","id":"countersign-1","result":{}}`, "Authorization", k.of("eve@app"))
	if len(delivered) != 1 || delivered[0] != "eve" {
		t.Errorf("delivered for %q", delivered)
	}
}

// A subject of another issuer is another person.
func TestSessionBelongsToTheIssuerOfTheToken(t *testing.T) {
	t.Parallel()
	s, k, other := newServer(t, answerSession), newTokens(t), newTokens(t)
	id := send(t, "POST", start(t, s, &judge{}, k.settings).URL+"/mcp", initialize, "Authorization", k.of("anna@app")).header.Get("Mcp-Session-Id")
	before := len(s.requests())
	got := send(t, "POST", start(t, s, &judge{}, other.settings).URL+"/mcp", ping, "Authorization", other.of("anna@app"), "Mcp-Session-Id", id)
	if got.status != 404 || len(s.requests()) != before {
		t.Errorf("%+v", got)
	}
}

func TestMetadataOfTheResource(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerOK)
	g := start(t, s, &judge{}, func(p *proxy.Settings) {
		k.settings(p)
		p.PublicURL, _ = url.Parse("https://gate.example/mcp")
	})
	want := `{"authorization_servers":["` + k.issuer.URL + `"],"bearer_methods_supported":["header"],"resource":"https://gate.example/mcp"}`
	for path, status := range map[string]int{
		"/.well-known/oauth-protected-resource": 200, "/.well-known/oauth-protected-resource/mcp": 200,
		"/.well-known/oauth-protected-resource/other": 404, "/.well-known/oauth-authorization-server": 404,
	} {
		got := send(t, "GET", g.URL+path, "")
		if got.status != status || status == 200 && got.body != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	without := start(t, s, &judge{}, func(p *proxy.Settings) { p.PublicURL, _ = url.Parse("https://gate.example/mcp") })
	if got := send(t, "GET", without.URL+"/.well-known/oauth-protected-resource", ""); got.status != 404 {
		t.Errorf("without tokens: %+v", got)
	}
	if got := send(t, "OPTIONS", g.URL+"/mcp", ""); got.status != 200 { // a browser asks without a token
		t.Errorf("%+v", got)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("the server got %+v", s.requests())
	}
}
