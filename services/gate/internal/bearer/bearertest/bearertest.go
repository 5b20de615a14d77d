// Package bearertest has a double of an authorization server for tests.
package bearertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Audience is the audience in the tokens of Claims.
const Audience = "https://gate.example/mcp"

// Issuer has a discovery document and keys.
type Issuer struct {
	URL string

	mu       sync.Mutex
	keys     jose.JSONWebKeySet
	jwks     string
	requests []string
	down     bool
}

// New starts an Issuer with public keys that ends with the test.
func New(t testing.TB, keys ...jose.JSONWebKey) *Issuer {
	i := &Issuer{keys: jose.JSONWebKeySet{Keys: keys}}
	server := httptest.NewServer(i)
	i.URL, i.jwks = server.URL, server.URL+"/keys"
	t.Cleanup(server.Close)
	return i
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests = append(i.requests, r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case i.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.jwks})
	case r.URL.Path == "/keys":
		json.NewEncoder(w).Encode(i.keys)
	default:
		http.NotFound(w, r)
	}
}

// Down makes the issuer answer with 503, or ends this.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// JWKS sets the URL of the keys in the discovery document.
func (i *Issuer) JWKS(url string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.jwks = url
}

// Requests returns how often a path was requested.
func (i *Issuer) Requests(path string) (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, got := range i.requests {
		if got == path {
			n++
		}
	}
	return n
}

// Key returns a new key for the algorithm RS256, EdDSA or ES256.
func Key(t testing.TB, algorithm string) (private crypto.Signer) {
	t.Helper()
	var err error
	switch algorithm {
	case "RS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// Public returns the public key of a key, with an id.
func Public(private crypto.Signer, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: private.Public(), KeyID: id, Use: "sig"}
}

// Sign returns a token that was signed with a key.
func Sign(t testing.TB, algorithm string, private any, id string, claims any) string {
	t.Helper()
	return SignAs(t, "", algorithm, private, id, claims)
}

// SignAs is Sign with a header typ, if it is not empty.
func SignAs(t testing.TB, kind, algorithm string, private any, id string, claims any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", id)
	if kind != "" {
		options = options.WithType(jose.ContentType(kind))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: private}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Claims returns valid claims of a subject with changes, which are pairs of a name and a value. The value nil removes a claim.
func (i *Issuer) Claims(subject string, changes ...any) map[string]any {
	c := map[string]any{"iss": i.URL, "aud": Audience, "sub": subject, "exp": time.Now().Add(time.Hour).Unix()}
	for n := 0; n < len(changes); n += 2 {
		c[changes[n].(string)] = changes[n+1]
		if changes[n+1] == nil {
			delete(c, changes[n].(string))
		}
	}
	return c
}
