package bearer_test

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/services/gate/internal/bearer"
	"github.com/countersign/countersign/services/gate/internal/bearer/bearertest"
)

const audience, channel = bearertest.Audience, "app"

func verifier(t *testing.T, i *bearertest.Issuer, change func(*bearer.Settings)) (*bearer.Verifier, *clienttest.Countersign) {
	t.Helper()
	d := clienttest.New(t)
	c, err := client.New(client.Config{URL: d.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey)})
	if err != nil {
		t.Fatal(err)
	}
	s := bearer.Settings{Issuer: i.URL, Audience: audience, Channel: channel}
	if change != nil {
		change(&s)
	}
	v, err := bearer.New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return v, d
}

func TestTokensOfTheIssuerAreAccepted(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		private := bearertest.Key(t, algorithm)
		i := bearertest.New(t, bearertest.Public(private, "1"))
		for name, change := range map[string]func(*bearer.Settings){"discovery": nil, "JWKS": func(s *bearer.Settings) { s.JWKS = i.URL + "/keys" }} {
			v, _ := verifier(t, i, change)
			for _, c := range []map[string]any{i.Claims("anna@app"), i.Claims("anna@app", "aud", []string{"other", audience})} {
				if got, err := v.Subject(t.Context(), bearertest.Sign(t, algorithm, private, "1", c)); got != "anna@app" || err != nil {
					t.Errorf("%s, %s: %q, %v", algorithm, name, got, err)
				}
			}
		}
	}
}

func TestTypesOfAccessTokensAreAccepted(t *testing.T) {
	t.Parallel()
	private := bearertest.Key(t, "ES256")
	i := bearertest.New(t, bearertest.Public(private, "1"))
	v, _ := verifier(t, i, nil)
	for _, kind := range []string{"", "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"} {
		if got, err := v.Subject(t.Context(), bearertest.SignAs(t, kind, "ES256", private, "1", i.Claims("anna@app"))); got != "anna@app" || err != nil {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
	}
}

func TestOtherTokensAreRefused(t *testing.T) {
	t.Parallel()
	private, foreign := bearertest.Key(t, "ES256"), bearertest.Key(t, "ES256")
	rsaKey := bearertest.Key(t, "RS256")
	i := bearertest.New(t, bearertest.Public(private, "1"), bearertest.Public(rsaKey, "2"))
	v, _ := verifier(t, i, nil)
	good := bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app"))
	part := strings.Split(good, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	published, _ := bearertest.Public(private, "1").MarshalJSON() // what an attacker who signs with HS256 would use as the key
	for name, token := range map[string]string{
		"empty":                "",
		"not a token":          "canary",
		"JSON":                 fmt.Sprintf(`{"protected":"%s","payload":"%s","signature":"%s"}`, part[0], part[1], part[2]),
		"white space":          part[0] + "." + part[1] + ". " + part[2],
		"line end":             good + "\n",
		"alg none":             encode(`{"alg":"none"}`) + "." + part[1] + ".",
		"alg None":             encode(`{"alg":"None","kid":"1"}`) + "." + part[1] + "." + part[2],
		"no signature":         part[0] + "." + part[1] + ".",
		"HS256":                bearertest.Sign(t, "HS256", published, "1", i.Claims("anna@app")),
		"HS256 of the RSA key": bearertest.Sign(t, "HS256", rsaKey.Public().(*rsa.PublicKey).N.Bytes(), "2", i.Claims("anna@app")),
		"another key":          bearertest.Sign(t, "ES256", foreign, "1", i.Claims("anna@app")),
		"unknown key":          bearertest.Sign(t, "ES256", foreign, "3", i.Claims("anna@app")),
		"key in the token":     withEmbeddedKey(t, foreign, i.Claims("anna@app")),
		"changed claims":       part[0] + "." + encode(`{"sub":"eve"}`) + "." + part[2],
		"other issuer":         bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "iss", "https://evil.example")),
		"issuer with a slash":  bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "iss", i.URL+"/")),
		"no issuer":            bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "iss", nil)),
		"other audience":       bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "aud", "https://other.example")),
		"longer audience":      bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "aud", audience+"/x")),
		"no audience":          bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "aud", nil)),
		"too old":              bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "exp", time.Now().Add(-time.Second).Unix())),
		"no end":               bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "exp", nil)),
		"not valid yet":        bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "nbf", time.Now().Add(time.Hour).Unix())),
		"no subject":           bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "sub", nil)),
		"empty subject":        bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "sub", "")),
		"subject is a number":  bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "sub", 7)),
		"logout token":         bearertest.SignAs(t, "logout+jwt", "ES256", private, "1", i.Claims("anna@app")),
		"receipt":              bearertest.SignAs(t, "application/receipt+jwt", "ES256", private, "1", i.Claims("anna@app")),
		"bound to a key":       bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app", "cnf", map[string]string{"jkt": "x"})),
		"claims are a list":    bearertest.Sign(t, "ES256", private, "1", []string{"x"}),
	} {
		got, err := v.Subject(t.Context(), token)
		if got != "" || !errors.Is(err, bearer.ErrInvalid) || err.Error() != bearer.ErrInvalid.Error() {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := v.Subject(t.Context(), good); got != "anna@app" || err != nil {
		t.Errorf("the valid token: %q, %v", got, err)
	}
}

// withEmbeddedKey returns a token whose header has the key that signed it.
func withEmbeddedKey(t *testing.T, private crypto.Signer, c any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(c)
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := signed.CompactSerialize()
	return token
}

// An issuer could publish a symmetric key by mistake. Everybody could sign with it.
func TestPublishedSymmetricKeyIsNotUsed(t *testing.T) {
	t.Parallel()
	secret := []byte("canary-canary-canary-canary-canary")
	i := bearertest.New(t, jose.JSONWebKey{Key: secret, KeyID: "1"})
	v, _ := verifier(t, i, nil)
	if got, err := v.Subject(t.Context(), bearertest.Sign(t, "HS256", secret, "1", i.Claims("anna@app"))); got != "" || !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("%q, %v", got, err)
	}
}

// everywhere sends the requests for all hosts to the issuer.
type everywhere struct{ host string }

func (e everywhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", e.host
	return http.DefaultTransport.RoundTrip(r)
}

func TestKeysOverHTTPAreNotUsed(t *testing.T) {
	t.Parallel()
	private := bearertest.Key(t, "ES256")
	for location, want := range map[string]string{"http://keys.example/keys": "", "https://keys.example/keys": "anna@app"} {
		i := bearertest.New(t, bearertest.Public(private, "1"))
		i.JWKS(location)
		v, _ := verifier(t, i, func(s *bearer.Settings) {
			s.HTTP = &http.Client{Transport: everywhere{strings.TrimPrefix(i.URL, "http://")}}
		})
		if got, err := v.Subject(t.Context(), bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app"))); got != want {
			t.Errorf("%s: %q, %v", location, got, err)
		}
	}
}

func TestIssuerThatIsDownSaysNothingAboutATokenAndIsNotAskedOften(t *testing.T) {
	t.Parallel()
	private := bearertest.Key(t, "ES256")
	for name, jwks := range map[string]string{"discovery": "", "JWKS": "/keys"} {
		i := bearertest.New(t, bearertest.Public(private, "1"))
		i.Down(true)
		v, _ := verifier(t, i, func(s *bearer.Settings) {
			if jwks != "" {
				s.JWKS = i.URL + jwks
			}
		})
		for range 3 {
			if got, err := v.Subject(t.Context(), bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app"))); got != "" || !errors.Is(err, bearer.ErrUnavailable) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if n := i.Requests("/.well-known/openid-configuration"); n > 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

func TestUnknownKeysCauseOneRequestToTheIssuer(t *testing.T) {
	t.Parallel()
	private, foreign := bearertest.Key(t, "ES256"), bearertest.Key(t, "ES256")
	i := bearertest.New(t, bearertest.Public(private, "1"))
	v, _ := verifier(t, i, nil)
	for n := range 50 {
		if _, err := v.Subject(t.Context(), bearertest.Sign(t, "ES256", foreign, "unknown"+strings.Repeat("x", n), i.Claims("anna@app"))); !errors.Is(err, bearer.ErrInvalid) {
			t.Fatal(err)
		}
	}
	if n := i.Requests("/keys"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestDiscoveryDoesNotLeadToOtherPlaces(t *testing.T) {
	t.Parallel()
	private := bearertest.Key(t, "ES256")
	for name, change := range map[string]func(*bearertest.Issuer){
		"no keys":             func(i *bearertest.Issuer) { i.JWKS("") },
		"another issuer":      func(i *bearertest.Issuer) { i.URL += "/x" }, // the document has this issuer
		"document is refused": func(i *bearertest.Issuer) { i.JWKS(i.URL + "/missing") },
	} {
		i := bearertest.New(t, bearertest.Public(private, "1"))
		v, _ := verifier(t, i, nil)
		change(i)
		if got, err := v.Subject(t.Context(), bearertest.Sign(t, "ES256", private, "1", i.Claims("anna@app"))); got != "" || err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	good := bearer.Settings{Issuer: "https://issuer.example", Audience: audience, Channel: channel}
	for name, change := range map[string]func(*bearer.Settings){
		"http issuer":           func(s *bearer.Settings) { s.Issuer = "http://issuer.example" },
		"issuer like loopback":  func(s *bearer.Settings) { s.Issuer = "http://localhost.evil.example" },
		"issuer without a host": func(s *bearer.Settings) { s.Issuer = "https:///x" },
		"issuer with a user":    func(s *bearer.Settings) { s.Issuer = "https://a:canary@issuer.example" },
		"no issuer":             func(s *bearer.Settings) { s.Issuer = "" },
		"http JWKS":             func(s *bearer.Settings) { s.JWKS = "http://issuer.example/keys" },
		"no audience":           func(s *bearer.Settings) { s.Audience = "" },
		"no channel":            func(s *bearer.Settings) { s.Channel = "" },
	} {
		s := good
		change(&s)
		if _, err := bearer.New(s, nil); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := bearer.New(good, nil); err != nil {
		t.Error(err)
	}
}

func TestPersonIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	v, d := verifier(t, bearertest.New(t), nil)
	d.Account(channel, "anna@app", "identity", clienttest.Customer)
	d.Account("other channel", "eve@app", "identity", clienttest.Customer)
	for range 3 {
		if got, err := v.Person(t.Context(), "anna@app"); got != (client.Person{Customer: clienttest.Customer, Identity: "identity"}) || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := v.Person(t.Context(), "eve@app"); got != (client.Person{}) || !errors.Is(err, bearer.ErrNoAccount) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if n := len(d.Requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestCountersignThatFailsIsNotRemembered(t *testing.T) {
	t.Parallel()
	v, d := verifier(t, bearertest.New(t), nil)
	d.Account(channel, "anna@app", "identity", clienttest.Customer)
	for _, status := range []int{401, 500, 422} {
		d.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true })
		if got, err := v.Person(t.Context(), "anna@app"); got != (client.Person{}) || err == nil || errors.Is(err, bearer.ErrNoAccount) {
			t.Errorf("%d: %+v, %v", status, got, err)
		}
	}
	d.Intercept(nil)
	if got, err := v.Person(t.Context(), "anna@app"); got.Customer != clienttest.Customer || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
