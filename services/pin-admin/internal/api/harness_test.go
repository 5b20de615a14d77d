package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
	"github.com/countersign/countersign/services/pin-admin/internal/console"
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
	app     *app.App
	signing ed25519.PrivateKey
	kid     uuid.UUID

	database *storetest.Database
	redis    redis.UniversalClient

	apiKey token.Token
	// stop is what a signal does to the service: who waits is answered.
	stop  func()
	board *wakeup.Board
}

func newService(t testing.TB) *service {
	return newServiceOn(t, storetest.RedisClient(t, storetest.Redis(t)))
}

func newServiceOn(t testing.TB, client redis.UniversalClient) *service {
	t.Helper()
	database := storetest.Postgres(t)
	return serve(t, database, webtest.Postgres(t, database.URLAs(schema.RolePinAdmin)), client)
}

// serve starts pin-admin with the test's database. A test can pass a connection that observes the statements.
func serve(t testing.TB, database *storetest.Database, db *sqlx.DB, client redis.UniversalClient) *service {
	t.Helper()
	settings := app.DefaultSettings()
	settings.Keys, settings.Issuer = keys, issuer
	log := &webtest.Log{}
	a, err := app.New(settings, webtest.Resources(t, log, db, client))
	must(t, err)
	s := &service{t: t, people: storetest.NewPeople(t, database), database: database, redis: client, app: a, board: a.API.Waiting}
	running, stop := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { a.Run(running) })
	s.stop = func() { stop(); background.Wait() }
	t.Cleanup(s.stop)
	s.Server = webtest.Serve(t, a.API.Spec, log, a.Handler())
	s.apiKey = s.people.APIKey("admin")
	s.kid, s.signing = s.signingKey()
	t.Cleanup(func() { s.NeverLogged(goodPIN, otherPIN, s.apiKey.Reveal()) })
	return s
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

func TestRoutesAreDocumented(t *testing.T) {
	t.Parallel()
	s := newService(t)
	pages, err := console.Pages(issuer)
	must(t, err)
	var console []string
	for path := range pages {
		console = append(console, "GET "+path)
	}
	webtest.RoutesAreDocumented(t, s.app.Echo.Routes(), s.app.API.Spec.Operations(), console...)
}
