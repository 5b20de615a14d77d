package receipt

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/pkg/client/action"
)

// issuer is a double of Countersign that publishes keys and signs receipts.
type issuer struct {
	*httptest.Server
	mu       sync.Mutex
	keys     map[string]ed25519.PrivateKey
	status   int
	requests int
}

func startIssuer() *issuer {
	i := &issuer{keys: map[string]ed25519.PrivateKey{"first": privateKey(1)}, status: http.StatusOK}
	i.Server = httptest.NewServer(i)
	return i
}

func newIssuer(t *testing.T) *issuer {
	i := startIssuer()
	t.Cleanup(i.Close)
	return i
}

// Double starts an issuer for an example. It also returns a receipt for the action paid.
func Double() (url, receipt string, stop func()) {
	i := startIssuer()
	claims, err := i.newClaims()
	if err == nil {
		receipt, err = signed(claims, jwt.SigningMethodEdDSA, privateKey(1), nil)
	}
	if err != nil {
		panic(err)
	}
	return i.URL, receipt, i.Close
}

func privateKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.URL.Path != KeysPath {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	i.requests++
	w.WriteHeader(i.status)
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	set.Keys = []map[string]string{{"kty": "RSA", "kid": "rsa"}, {"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AAAA"}}
	for id, key := range i.keys {
		public := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
		set.Keys = append(set.Keys, map[string]string{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": public})
	}
	_ = json.NewEncoder(w).Encode(set)
}

func (i *issuer) set(status int, keys map[string]ed25519.PrivateKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.keys = status, keys
}

func (i *issuer) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests
}

// paid is the action that the receipts of these tests approve.
var paid = action.Action{Instance: "instance-1", Customer: "customer-1", Skill: "payments.transfer", Arguments: `{"to":"Bob","amount":"250.00"}`}

// claims returns valid claims of a receipt for paid.
func (i *issuer) claims(t *testing.T) Claims {
	t.Helper()
	claims, err := i.newClaims()
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func (i *issuer) newClaims() (Claims, error) {
	a, audience := paid, "payments"
	a.Audience, a.Skill = &audience, "Payments.Transfer"
	hash, err := a.Hash()
	now := time.Now().Unix()
	return Claims{
		Issuer: i.URL, Subject: a.Customer, Audience: audience, IssuedAt: now, ExpiresAt: now + 120, ID: "approval-1",
		Approved: Approved{Instance: a.Instance, Skill: a.Skill, ActionHash: hex.EncodeToString(hash[:]), ApprovedAt: now, Methods: []string{"pin"}},
	}, err
}

func sign(t *testing.T, claims jwt.Claims, method jwt.SigningMethod, key any, header map[string]any) string {
	t.Helper()
	text, err := signed(claims, method, key, header)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signed(claims jwt.Claims, method jwt.SigningMethod, key any, header map[string]any) (string, error) {
	token := jwt.NewWithClaims(method, claims)
	token.Header = map[string]any{"alg": method.Alg(), "typ": Type, "kid": "first"}
	for name, value := range header {
		token.Header[name] = value
	}
	return token.SignedString(key)
}

func newVerifier(t *testing.T, i *issuer) *Verifier {
	t.Helper()
	v, err := NewVerifier(i.URL, "payments", nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifyReceipt(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	want := i.claims(t)
	got, err := newVerifier(t, i).Verify(t.Context(), sign(t, want, jwt.SigningMethodEdDSA, privateKey(1), nil), paid)
	if err != nil || got.ID != want.ID || got.Approved.ActionHash != want.Approved.ActionHash || got.Approved.ApprovedAt != want.Approved.ApprovedAt {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestVerifyRefusesReceipt(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	eddsa, key := jwt.SigningMethodEdDSA, privateKey(1)
	valid := sign(t, i.claims(t), eddsa, key, nil)
	parts := strings.Split(valid, ".")
	changed := func(change func(*Claims)) string {
		c := i.claims(t)
		change(&c)
		return sign(t, c, eddsa, key, nil)
	}
	with := func(header map[string]any) string { return sign(t, i.claims(t), eddsa, key, header) }
	list := jwt.MapClaims{}
	text, _ := json.Marshal(i.claims(t))
	_ = json.Unmarshal(text, &list)
	list["aud"] = []string{"payments", "ledger"}

	for name, receipt := range map[string]string{
		"empty":               "",
		"not a JWS":           "receipt",
		"too long":            valid + strings.Repeat("A", 10000),
		"another signature":   parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"padding":             valid + "==",
		"another key":         sign(t, i.claims(t), eddsa, privateKey(2), nil),
		"alg none":            sign(t, i.claims(t), jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"HMAC with the key":   sign(t, i.claims(t), jwt.SigningMethodHS256, []byte(key.Public().(ed25519.PublicKey)), nil),
		"an access token":     with(map[string]any{"typ": "at+jwt"}),
		"no type":             with(map[string]any{"typ": nil}),
		"unknown kid":         with(map[string]any{"kid": "second"}),
		"no kid":              with(map[string]any{"kid": nil}),
		"crit":                with(map[string]any{"crit": []string{"b64"}, "b64": false}),
		"another issuer":      changed(func(c *Claims) { c.Issuer += "/" }),
		"another audience":    changed(func(c *Claims) { c.Audience = "ledger" }),
		"no audience":         changed(func(c *Claims) { c.Audience = "" }),
		"two audiences":       sign(t, list, eddsa, key, nil),
		"expired":             changed(func(c *Claims) { c.IssuedAt -= 131; c.ExpiresAt -= 131 }),
		"no expiry":           changed(func(c *Claims) { c.ExpiresAt = 0 }),
		"from the future":     changed(func(c *Claims) { c.IssuedAt += 60 }),
		"no id":               changed(func(c *Claims) { c.ID = "" }),
		"another customer":    changed(func(c *Claims) { c.Subject = "customer-2" }),
		"another instance":    changed(func(c *Claims) { c.Approved.Instance = "instance-2" }),
		"another skill":       changed(func(c *Claims) { c.Approved.Skill = "payments.refund" }),
		"another action hash": changed(func(c *Claims) { c.Approved.ActionHash = strings.Repeat("0", 64) }),
		"no action hash":      changed(func(c *Claims) { c.Approved.ActionHash = "" }),
		"upper case hash":     changed(func(c *Claims) { c.Approved.ActionHash = strings.ToUpper(c.Approved.ActionHash) }),
	} {
		// A verifier of its own, so that each unknown key is asked for.
		if claims, err := newVerifier(t, i).Verify(t.Context(), receipt, paid); !errors.Is(err, ErrInvalid) || claims.ID != "" {
			t.Errorf("%s: %+v, %v, want ErrInvalid", name, claims, err)
		}
	}
}

func TestVerifyRefusesAnotherAction(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	v, receipt := newVerifier(t, i), sign(t, i.claims(t), jwt.SigningMethodEdDSA, privateKey(1), nil)
	for name, change := range map[string]func(*action.Action){
		"another instance": func(a *action.Action) { a.Instance = "instance-2" },
		"another customer": func(a *action.Action) { a.Customer = "customer-2" },
		"another skill":    func(a *action.Action) { a.Skill = "payments.refund" },
		"another amount":   func(a *action.Action) { a.Arguments = `{"to":"Bob","amount":"250.01"}` },
		"more arguments":   func(a *action.Action) { a.Arguments = `{"to":"Bob","amount":"250.00","fast":true}` },
		"no arguments":     func(a *action.Action) { a.Arguments = "" },
		"a name twice":     func(a *action.Action) { a.Arguments = `{"to":"Eve","to":"Bob","amount":"250.00"}` },
		"a list":           func(a *action.Action) { a.Arguments = "[]" },
	} {
		other := paid
		change(&other)
		if _, err := v.Verify(t.Context(), receipt, other); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	for name, change := range map[string]func(*action.Action){
		"no customer": func(a *action.Action) { a.Customer = "" },
		"no instance": func(a *action.Action) { a.Instance = "" },
		"no skill":    func(a *action.Action) { a.Skill = "" },
	} {
		other := paid
		change(&other)
		if _, err := v.Verify(t.Context(), receipt, other); err == nil || errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want an error that is not ErrInvalid", name, err)
		}
	}
}

func TestNewVerifierRefusesIssuer(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"", "countersign", "http://countersign.example", "https://countersign.example/", "https://a@b.example", "https://a.example?b", "https://a.example#b", "ftp://a.example"} {
		if _, err := NewVerifier(issuer, "payments", nil); err == nil {
			t.Errorf("the issuer %q is accepted", issuer)
		}
	}
	if _, err := NewVerifier("https://countersign.example", "", nil); err == nil {
		t.Error("an empty audience is accepted")
	}
}

// clock is set by the tests of the key cache.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) get() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestReceiptKeysAreCached(t *testing.T) {
	t.Parallel()
	i, at := newIssuer(t), &clock{now: time.Now()}
	k := newKeys(i.URL+KeysPath, nil)
	k.now = at.get
	one, both := map[string]ed25519.PrivateKey{"first": privateKey(1)}, map[string]ed25519.PrivateKey{"first": privateKey(1), "second": privateKey(2)}
	for _, step := range []struct {
		name   string
		wait   time.Duration
		status int
		keys   map[string]ed25519.PrivateKey
		id     string
		found  bool
		asked  int
	}{
		{"the first use reads the keys", 0, 200, one, "first", true, 1},
		{"a known key is not asked for again", keysFresh, 200, one, "first", true, 1},
		{"an unknown key is asked for", 0, 200, one, "second", false, 2},
		{"an unknown key is not asked for again at once", keysPause - 1, 200, both, "second", false, 2},
		{"a new key is found after the pause", 1, 200, both, "second", true, 3},
		{"old keys are used while the issuer fails", keysFresh + 1, 500, both, "second", true, 4},
		{"a failing issuer is not asked again at once", 1, 500, both, "first", true, 4},
		{"a removed key is not used any more", keysPause, 200, one, "second", false, 5},
		{"very old keys are not used", keysUsable + 1, 500, one, "first", false, 6},
		{"the issuer works again", keysPause, 200, one, "first", true, 7},
	} {
		at.add(step.wait)
		i.set(step.status, step.keys)
		key, err := k.get(t.Context(), step.id)
		if (err == nil) != step.found || (key != nil) != step.found || i.asked() != step.asked {
			t.Errorf("%s: %v, %d requests, want found %t, %d requests", step.name, err, i.asked(), step.found, step.asked)
		}
		if err != nil && errors.Is(err, ErrInvalid) != (step.status == 200) {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

// An answer that is a redirect or is too long gives no keys.
func TestReceiptKeysOfAnUnusualAnswer(t *testing.T) {
	t.Parallel()
	real := newIssuer(t)
	for name, answer := range map[string]http.Handler{
		"redirect": http.RedirectHandler(real.URL+KeysPath, http.StatusTemporaryRedirect),
		"too long": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			keys := httptest.NewRecorder()
			real.ServeHTTP(keys, r)
			_, _ = w.Write([]byte(strings.Repeat(" ", maxKeysBytes) + keys.Body.String()))
		}),
	} {
		server := httptest.NewServer(answer)
		defer server.Close()
		for _, own := range []*http.Client{nil, {}} {
			if key, err := newKeys(server.URL+KeysPath, own).get(t.Context(), "first"); key != nil || err == nil || errors.Is(err, ErrInvalid) {
				t.Errorf("%s, own client %t: %v, %v", name, own != nil, key, err)
			}
		}
	}
}

func TestReceiptKeysAreReadOnceInParallel(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	k := newKeys(i.URL+KeysPath, nil)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := k.get(t.Context(), "first"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if i.asked() != 1 {
		t.Errorf("%d requests, want 1", i.asked())
	}
}

// sender sends requests.
type sender func(*http.Request) (*http.Response, error)

func (s sender) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

func TestReceiptKeysRespectContext(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	gone, cancel := context.WithCancel(t.Context())
	v, err := NewVerifier(i.URL, "payments", &http.Client{Transport: sender(func(r *http.Request) (*http.Response, error) {
		if gone.Err() == nil {
			cancel() // the caller goes while its request is under way
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	if err != nil {
		t.Fatal(err)
	}
	receipt := sign(t, i.claims(t), jwt.SigningMethodEdDSA, privateKey(1), nil)
	if _, err := v.Verify(gone, receipt, paid); !errors.Is(err, context.Canceled) || errors.Is(err, ErrInvalid) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if _, err := v.Verify(t.Context(), receipt, paid); err != nil {
		t.Errorf("after a caller that has gone: %v", err)
	}
}
