package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/services/auth/internal/api"
	"github.com/countersign/countersign/services/auth/internal/app"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

const (
	issuer = "https://auth.example.test"
	oldKey = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newKey = "new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	both   = newKey + "," + oldKey
	places = 400
	signIn = "https://app.example.test/sign-in"
)

const keyLifetime = 2160 * time.Hour

var lifetimes = usersession.Config{AccessLifetime: 15 * time.Minute, SessionLifetime: 720 * time.Hour}

// plenty are limits that no test reaches, although all tests have one address.
var plenty = api.Rates{
	Signup: 1e6, Login: 1e6, Refresh: 1e6, Verify: 1e6, Resend: 1e6, Status: 1e6, Forgot: 1e6, Reset: 1e6, Token: 1e6, Challenge: 1e6, Decrypt: 1e6, Connection: 1e6,
}

// deployment is a database of the test's own, with one replica of the service or several.
type deployment struct {
	t *testing.T
	// owner may read and change everything in the database.
	owner  *sqlx.DB
	people storetest.People
	// asService is the URL with which the service connects to the database.
	asService string
	redisURL  string
	log       *webtest.Log
	// settings are those of the replicas that the test starts from now on.
	settings app.Settings
	// proxies are their trusted proxies.
	proxies []netip.Prefix
	// requestTime is the deadline of their requests. 0: none.
	requestTime time.Duration
	// sandbox is the URL of the sandbox exchange for these replicas. Empty: the service's own.
	sandbox string
	// clock is the time for TOTP codes, in seconds since 1970. Only the test changes it.
	clock atomic.Int64

	mu sync.Mutex
	// secrets are all passwords and tokens that were sent or answered. The log must not contain them.
	secrets map[string]bool
}

// service is one replica.
type service struct {
	*deployment
	server   *webtest.Server
	app      *app.App
	db       *sqlx.DB
	pool     *slowhash.Pool
	registry *prometheus.Registry
}

func newService(t *testing.T) *service {
	t.Helper()
	database := storetest.Postgres(t)
	settings := app.DefaultSettings()
	settings.PublicURL, settings.SignInURL, settings.SigningKeyLifetime = issuer, signIn, keyLifetime
	settings.Config, settings.Rates, settings.KYC = lifetimes, plenty, kycSecrets
	d := &deployment{t: t, owner: database.Open(t, ""), people: storetest.NewPeople(t, database), asService: database.URLAs(schema.RoleAuth),
		redisURL: storetest.RedisAs(t, storetest.Redis(t), schema.RoleAuth), settings: *settings, log: &webtest.Log{}, secrets: map[string]bool{}}
	d.clock.Store(1_800_000_000)
	s := d.replica(oldKey)
	t.Cleanup(func() {
		for secret := range d.secrets {
			s.server.NeverLogged(secret)
		}
	})
	return s
}

func (d *deployment) replica(keys string) *service {
	d.t.Helper()
	return d.replicaOver(keys, slowhash.NewPool(2, places))
}

func (d *deployment) replicaOver(keys string, pool *slowhash.Pool) *service {
	d.t.Helper()
	r := webtest.Resources(d.t, d.log, webtest.Postgres(d.t, d.asService), storetest.RedisClient(d.t, d.redisURL))
	ring, err := keyring.Parse(keys)
	must(d.t, err)
	r.Keys, r.Pool, r.TrustedProxies, r.RequestTime = ring, pool, d.proxies, d.requestTime
	settings := d.settings
	a, err := app.New(&settings, r)
	must(d.t, err)
	d.t.Cleanup(a.CloseSandbox)
	a.API.Factors.Now = d.now
	if d.sandbox != "" {
		a.API.ExchangeKeys.Connections = exchange.NewConnections(d.sandbox)
	}
	return &service{deployment: d, server: webtest.Serve(d.t, a.API.Spec, d.log, a.Handler()), app: a, db: r.DB, pool: pool, registry: r.Registry}
}

// now returns the time for TOTP codes.
func (d *deployment) now() time.Time {
	return time.Unix(d.clock.Load(), 0)
}

var secretNames = map[string]bool{"password": true, "code": true, "secret": true, "otpauth_uri": true, "api_key": true, "api_secret": true, "api_passphrase": true}

// remember collects the secrets in a body.
func (d *deployment) remember(body map[string]any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var look func(body map[string]any)
	look = func(body map[string]any) {
		for name, value := range body {
			if inner, is := value.(map[string]any); is {
				look(inner)
			}
			if name == "recovery_codes" {
				for _, code := range value.([]any) {
					look(map[string]any{"code": code})
				}
			}
			if text, _ := value.(string); len(text) >= 8 && (secretNames[name] || strings.HasSuffix(name, "_password") || strings.HasSuffix(name, "token")) {
				d.secrets[text] = true
			}
		}
	}
	look(body)
}

// serve starts a server and returns its URL.
func serve(t *testing.T, handler http.Handler) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func (d *deployment) exec(q string, args ...any) {
	d.t.Helper()
	_, err := d.owner.Exec(q, args...)
	must(d.t, err)
}

// one returns the value that a query finds.
func one[T any](d *deployment, q string, args ...any) T {
	d.t.Helper()
	var value T
	must(d.t, d.owner.Get(&value, q, args...))
	return value
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
