package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/pkg/wakeup"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

const (
	goodPIN  = "83174629" // the canary: it must not occur outside of requests
	otherPIN = "91827346"
	issuer   = "https://auth.example.com"

	approvalURL = "https://approve.example.com"
)

type object = map[string]any

// service is a pin-admin with its own database and Redis.
type service struct {
	*webtest.Server
	t       testing.TB
	people  storetest.People
	app     *app.App
	signing ed25519.PrivateKey
	kid     uuid.UUID

	database *storetest.Database
	redis    redis.UniversalClient

	pool *slowhash.Pool

	apiKey token.Token
	// stop ends the background work, as SIGTERM does. Requests that wait are answered.
	stop  func()
	board *wakeup.Board
}

func newService(t testing.TB, change ...func(*app.Settings)) *service {
	return newServiceOn(t, storetest.Redis(t), change...)
}

// newServiceOn starts a service that connects to Redis with its own user. The field redis is the administrator's client.
func newServiceOn(t testing.TB, redisURL string, change ...func(*app.Settings)) *service {
	t.Helper()
	database := storetest.Postgres(t)
	client := storetest.RedisClient(t, storetest.RedisAs(t, redisURL, schema.RolePinAdmin))
	s := serve(t, database, webtest.Postgres(t, database.URLAs(schema.RolePinAdmin)), client, change...)
	s.redis = storetest.RedisClient(t, redisURL)
	return s
}

// serve starts pin-admin with the test's database, and with settings that each change may change. A test can pass a connection that observes the statements.
func serve(t testing.TB, database *storetest.Database, db *sqlx.DB, client redis.UniversalClient, change ...func(*app.Settings)) *service {
	t.Helper()
	settings := app.DefaultSettings()
	settings.ApprovalURL = approvalURL
	settings.Issuer, settings.MyPIN, settings.LongPolls = issuer, 1000, 10
	settings.Approvals, settings.ApprovalUseWithin = 1_000_000, 2*time.Minute
	settings.Retention.Approvals = 100 * 365 * 24 * time.Hour // otherwise the service deletes decided approvals when it starts
	for _, change := range change {
		change(settings)
	}
	log := &webtest.Log{}
	resources := webtest.Resources(t, log, db, client)
	a, err := app.New(settings, resources)
	must(t, err)
	s := &service{t: t, people: storetest.NewPeople(t, database), database: database, redis: client, pool: resources.Pool, app: a, board: a.API.Waiting}
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

// signingKey stores a signing key of access tokens, as auth does.
func (s *service) signingKey() (uuid.UUID, ed25519.PrivateKey) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(s.t, err)
	id := uuid.New()
	s.people.Exec(`insert into signing_keys (id, public_key, private_sealed) values ($1, $2, '')`, id, []byte(public))
	return id, private
}

// signIn creates a user with a confirmed address, and returns an access token of the user and its claims.
func (s *service) signIn(email, role string) (string, *accesstoken.Claims) {
	s.t.Helper()
	var user, session uuid.UUID
	s.people.Get(&user, `insert into users (email, password_hash, role, email_confirmed_at) values ($1, '', $2, now()) returning id`, email, role)
	s.people.Get(&session, `insert into user_sessions (user_id, expires_at) values ($1, now() + interval '1 day') returning id`, user)
	now := time.Now()
	claims := &accesstoken.Claims{ClientID: accesstoken.SignInClient, SessionID: session, Role: role, Email: email, AuthTime: jwt.NewNumericDate(now), RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Subject: user.String(), Audience: jwt.ClaimStrings{accesstoken.Audience}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(15 * time.Minute)),
	}}
	return s.sign(claims), claims
}

// signedInCustomer creates a customer and returns an access token of that customer.
func (s *service) signedInCustomer() (uuid.UUID, string) {
	s.t.Helper()
	customer := s.people.Customer()
	var email string
	s.people.Get(&email, `select email from customers where id = $1`, customer)
	access, _ := s.signIn(email, "user")
	return customer, access
}

func (s *service) sign(claims *accesstoken.Claims) string {
	s.t.Helper()
	return s.signAs(jwt.SigningMethodEdDSA, s.kid.String(), s.signing, claims)
}

// signTyped signs a token with another typ header. Without typ, the token has no such header.
func (s *service) signTyped(typ any, claims *accesstoken.Claims) string {
	s.t.Helper()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	unsigned.Header["kid"], unsigned.Header["typ"] = s.kid.String(), typ
	if typ == nil {
		delete(unsigned.Header, "typ")
	}
	text, err := unsigned.SignedString(s.signing)
	must(s.t, err)
	return text
}

func (s *service) signAs(method jwt.SigningMethod, kid string, key any, claims *accesstoken.Claims) string {
	s.t.Helper()
	unsigned := jwt.NewWithClaims(method, claims)
	unsigned.Header["kid"], unsigned.Header["typ"] = kid, accesstoken.Type
	text, err := unsigned.SignedString(key)
	must(s.t, err)
	return text
}

func (s *service) apiKeyHeader() map[string]string {
	return map[string]string{"X-Api-Key": s.apiKey.Reveal()}
}

// ask sends a request with an API key that has the scope admin.
func (s *service) ask(method, path string, body any) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: method, Path: path, Header: map[string]string{"X-Api-Key": s.apiKey.Reveal()}, Body: body})
}

// as sends a request with an access token.
func (s *service) as(token, method, path string, body any) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: method, Path: path, Header: map[string]string{"Authorization": "Bearer " + token}, Body: body})
}

// add creates a resource, and returns its path and the answer.
func (s *service) add(list string, body any) (string, webtest.Answer) {
	s.t.Helper()
	a := s.Want(s.ask("POST", list, body), 201)
	return list + "/" + a.JSON("id").(string), a
}

// actions checks that the audit trail contains exactly these actions, in this order.
func (s *service) actions(want ...string) {
	s.t.Helper()
	var got string
	s.people.Get(&got, `select coalesce(string_agg(action, ' ' order by id), '') from audit`)
	if got != strings.Join(want, " ") {
		s.t.Errorf("the audit trail has %s, want %s", got, strings.Join(want, " "))
	}
}

// createInParallel creates the same resource 100 times in parallel. One request must be answered 201, and 99 with 409.
func (s *service) createInParallel(path string, body func(i int) any) {
	s.t.Helper()
	var created, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			a, err := s.Try(webtest.Request{Method: "POST", Path: path, Header: s.apiKeyHeader(), Body: body(i)})
			switch {
			case err == nil && a.Status == 201:
				created.Add(1)
			case err == nil && a.Status == 409:
				refused.Add(1)
			default:
				s.t.Errorf("%d %v %s", a.Status, err, a.Body)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || refused.Load() != 99 {
		s.t.Errorf("%d created, %d refused; want 1 and 99", created.Load(), refused.Load())
	}
}

// texts returns one field of each item of a list.
func texts(a webtest.Answer, field string) []string {
	items, _ := a.JSON("items").([]any)
	found := []string{}
	for _, item := range items {
		text, _ := item.(map[string]any)[field].(string)
		found = append(found, text)
	}
	return found
}
