package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api"
	"github.com/countersign/countersign/services/pin-admin/internal/wakeup"
)

const (
	goodPIN  = "83174629" // also the canary: it must stand nowhere but in requests
	otherPIN = "91827346"
	issuer   = "https://auth.example.com"
	keys     = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// service is pin-admin on stores of its own.
type service struct {
	*webtest.Server
	t       testing.TB
	people  storetest.People
	routes  []*echo.Route
	signing ed25519.PrivateKey
	kid     uuid.UUID

	database *storetest.Database
	redis    redis.UniversalClient

	apiKey token.Token
	// stop is what a signal does to the service: who waits is answered.
	stop  func()
	board *wakeup.Board
}

func newService(t testing.TB) *service { return newServiceOn(t, patient(t, storetest.Redis(t))) }

// patient is a client that waits for a Redis which is slow because of other tests: the service's own gives up early.
func patient(t testing.TB, redisURL string) redis.UniversalClient {
	t.Helper()
	options, err := redis.ParseURL(redisURL)
	must(t, err)
	options.ReadTimeout, options.WriteTimeout, options.DialTimeout = time.Minute, time.Minute, time.Minute
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func newServiceOn(t testing.TB, client redis.UniversalClient) *service {
	t.Helper()
	database := storetest.Postgres(t)
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: database.URLAs(schema.RolePinAdmin), Connections: 10})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return serve(t, database, db, client)
}

// serve starts pin-admin on a test's database, through a connection that may have something to tell.
func serve(t testing.TB, database *storetest.Database, db *sqlx.DB, client redis.UniversalClient) *service {
	t.Helper()
	ring, err := keyring.Parse(keys)
	must(t, err)
	spec := loadSpec(t)
	log := &webtest.Log{}
	s := &service{t: t, people: storetest.NewPeople(t, database), database: database, redis: client}
	board := wakeup.NewBoard(db, client, log.Logger())
	running, stop := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { board.Run(running) })
	s.board = board
	s.stop = func() { stop(); background.Wait() }
	t.Cleanup(s.stop)
	pool, registry := slowhash.NewPool(2, 200), prometheus.NewRegistry()
	surface := &api.API{
		Spec: spec, Waiting: board, AccessTokens: accesstoken.NewReader(db, issuer),
		Directory: directory.Directory{DB: db}, Keys: credential.Keys{DB: db},
		PINs:     pin.NewStore(db, ring, pool),
		Verifier: pin.NewVerifier(pin.VerifierConfig{DB: db, Redis: client, Keys: ring, Pool: pool, Budget: pin.DefaultBudget, Registry: registry}),
		Policies: policy.Store{DB: db},
		Sessions: pin.Sessions{DB: db, Store: session.Store{Redis: client}}, Trail: audit.Trail{DB: db, Ring: ring},
	}
	e := web.New(web.Options{Log: log.Logger(), Registry: registry, Spec: spec, Unavailable: stores.Unavailable, ErrorRenderers: api.ErrorRenderers})
	surface.Routes(e)
	s.routes = e.Routes()
	s.Server = webtest.Serve(t, spec, log, e)
	s.apiKey = s.people.APIKey("admin")
	s.kid, s.signing = s.signingKey()
	t.Cleanup(func() { s.NeverLogged(goodPIN, otherPIN, s.apiKey.Reveal()) })
	return s
}

func loadSpec(t testing.TB) *web.Spec {
	t.Helper()
	document, err := os.ReadFile("../../openapi.yaml")
	must(t, err)
	spec, err := web.LoadSpec(document, directory.CheckEmail)
	must(t, err)
	return spec
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signingKey puts a key into the database as auth does.
func (s *service) signingKey() (uuid.UUID, ed25519.PrivateKey) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(s.t, err)
	id := uuid.New()
	s.people.Exec(`insert into signing_keys (id, public_key, private_sealed) values ($1, $2, '')`, id, []byte(public))
	return id, private
}

// signIn makes a user with a confirmed address and returns an access token of theirs, and its claims.
func (s *service) signIn(email, role string) (string, *accesstoken.Claims) {
	s.t.Helper()
	var user, session uuid.UUID
	s.people.Get(&user, `insert into users (email, password_hash, role, email_confirmed_at) values ($1, '', $2, now()) returning id`, email, role)
	s.people.Get(&session, `insert into user_sessions (user_id, expires_at) values ($1, now() + interval '1 day') returning id`, user)
	now := time.Now()
	claims := &accesstoken.Claims{SessionID: session, Role: role, Email: email, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Subject: user.String(), Audience: jwt.ClaimStrings{accesstoken.Audience}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(15 * time.Minute)),
	}}
	return s.sign(claims), claims
}

func (s *service) sign(claims *accesstoken.Claims) string {
	s.t.Helper()
	return s.signAs(jwt.SigningMethodEdDSA, s.kid.String(), s.signing, claims)
}

func (s *service) signAs(method jwt.SigningMethod, kid string, key any, claims *accesstoken.Claims) string {
	s.t.Helper()
	unsigned := jwt.NewWithClaims(method, claims)
	unsigned.Header["kid"] = kid
	text, err := unsigned.SignedString(key)
	must(s.t, err)
	return text
}

// ask calls with the API key that may do everything.
func (s *service) ask(method, path string, body any) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: method, Path: path, Header: map[string]string{"X-Api-Key": s.apiKey.Reveal()}, Body: body})
}

// as calls with an access token.
func (s *service) as(token, method, path string, body any) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: method, Path: path, Header: map[string]string{"Authorization": "Bearer " + token}, Body: body})
}

func (s *service) want(a webtest.Answer, status int) webtest.Answer {
	s.t.Helper()
	if a.Status != status {
		s.t.Fatalf("answered %d, want %d: %s", a.Status, status, a.Body)
	}
	return a
}

func (s *service) fields(a webtest.Answer, want map[string]any) {
	s.t.Helper()
	for path, value := range want {
		if got := a.JSON(path); got != value {
			s.t.Errorf("%s is %v, want %v in %s", path, got, value, a.Body)
		}
	}
}

func TestRoutesAreTheDocuments(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var routes []string
	for _, r := range s.routes {
		if !strings.HasPrefix(r.Path, "/openapi") && !strings.HasPrefix(r.Path, "/docs") && !strings.HasPrefix(r.Path, "/console") {
			routes = append(routes, r.Method+" "+r.Path)
		}
	}
	operations := loadSpec(t).Operations()
	slices.Sort(routes)
	slices.Sort(operations)
	if !slices.Equal(routes, operations) {
		t.Errorf("routes %v\nthe document has %v", routes, operations)
	}
}
