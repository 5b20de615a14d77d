package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/login"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/oauth"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/signing"
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

// plenty is more than any test asks, and all of them ask from one address.
var plenty = api.Rates{
	Signup: 1e6, Login: 1e6, Refresh: 1e6, Verify: 1e6, Resend: 1e6, Status: 1e6, Forgot: 1e6, Reset: 1e6, Token: 1e6, Challenge: 1e6, Decrypt: 1e6, Connection: 1e6,
}

// deployment is a database of the test's own, with one replica of the service or several.
type deployment struct {
	t *testing.T
	// owner may see and do everything in the database.
	owner  *sqlx.DB
	people storetest.People
	// asService is how the service connects to it.
	asService string
	log       *webtest.Log
	// origins are those that the replicas to come admit.
	origins []string
	// proxies and rates are theirs too.
	proxies []netip.Prefix
	rates   api.Rates
	// budget is that of codes.
	budget budget.Limits
	// clock is the time that codes go by, in seconds since 1970. It stands unless the test moves it.
	clock atomic.Int64
	// sandbox is the URL of the exchange that they play.
	sandbox string
	// redisURL is where they count.
	redisURL string
	// kyc holds the KYC secrets of the replicas to come.
	kyc kyc.Config

	mu sync.Mutex
	// secrets are all passwords and tokens that were sent or answered. None may stand in the log.
	secrets map[string]bool
}

// service is one replica.
type service struct {
	*deployment
	server   *webtest.Server
	routes   []*echo.Route
	spec     *web.Spec
	pool     *slowhash.Pool
	keys     *signing.Keys
	logins   *login.Logins
	accounts *account.Accounts
	db       *sqlx.DB
	outbox   *mail.Outbox
	registry *prometheus.Registry
}

func newService(t *testing.T) *service {
	t.Helper()
	database := storetest.Postgres(t)
	d := &deployment{t: t, owner: database.Open(t, ""), people: storetest.NewPeople(t, database), asService: database.URLAs(schema.RoleAuth),
		redisURL: storetest.Redis(t), rates: plenty, budget: mfa.DefaultBudget, sandbox: serve(t, exchange.Sandbox()), kyc: kycSecrets,
		log: &webtest.Log{}, secrets: map[string]bool{}}
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
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: d.asService, Connections: 20})
	must(d.t, err)
	d.t.Cleanup(func() { db.Close() })
	counts := storetest.RedisClient(d.t, d.redisURL)
	ring, err := keyring.Parse(keys)
	must(d.t, err)
	document, err := os.ReadFile("../../openapi.yaml")
	must(d.t, err)
	spec, err := web.LoadSpec(document, directory.CheckEmail)
	must(d.t, err)

	s := &service{deployment: d, spec: spec, keys: signing.New(db, ring, keyLifetime), pool: pool, db: db, outbox: mail.NewOutbox(ring), registry: prometheus.NewRegistry()}
	tokens := accesstoken.NewReader(db, issuer)
	factors := mfa.New(db, ring, d.budget, issuer)
	factors.Now = d.now
	passwords := password.New(password.DefaultBudget, db, pool, s.registry)
	sessions := &usersession.Sessions{Config: lifetimes, Issuer: issuer, DB: db, Ring: ring, SigningKeys: s.keys, AccessTokens: tokens}
	s.logins = &login.Logins{DB: db, Passwords: passwords, Sessions: sessions, Factors: factors}
	s.accounts = &account.Accounts{DB: db, Passwords: passwords, Outbox: s.outbox}
	e := web.New(web.Options{Log: d.log.Logger(), Registry: s.registry, Spec: spec, Unavailable: stores.Unavailable, ErrorRenderers: api.ErrorRenderers, AllowedOrigins: d.origins, TrustedProxies: d.proxies})
	(&api.API{
		Spec: spec, AccessTokens: tokens, APIKeys: credential.Keys{DB: db}, Factors: factors, Keys: s.keys,
		Accounts:  s.accounts,
		Passwords: passwords,
		Logins:    s.logins,
		Sessions:  sessions,
		OAuth:     &oauth.Tokens{DB: db, Sessions: sessions, AccessTokens: tokens},
		Limiter:   ratelimit.New(counts), Rates: d.rates,
		KYC:          kyc.New(d.kyc, db, s.registry),
		Links:        api.Links{SignIn: signIn, Resend: issuer + "/auth/resend-verification"},
		ExchangeKeys: &exchange.Keys{DB: db, Ring: ring, Connections: exchange.NewConnections(d.sandbox)},
	}).Routes(e)
	s.routes = e.Routes()
	s.server = webtest.Serve(d.t, spec, d.log, e)
	return s
}

// now is the time that codes go by.
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

// one returns the one value that a query finds.
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
