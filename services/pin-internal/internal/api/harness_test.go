package api_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-internal/internal/api"
)

const (
	right = "83174629" // also the canary: it must stand nowhere but in requests
	wrong = "40291735"
	other = "91827346"
)

// service is pin-internal on stores of its own, with one customer's identity on one instance.
type service struct {
	*webtest.Server
	t      testing.TB
	people storetest.People
	pins   *pin.Store
	routes []*echo.Route
	log    *webtest.Log

	instance, customer, identity uuid.UUID
	key                          token.Token
}

func newService(t testing.TB) *service { return newServiceOn(t, storetest.Redis(t)) }

func newServiceOn(t testing.TB, redisURL string) *service {
	t.Helper()
	database := storetest.Postgres(t)
	return newServiceWith(t, database, database.URLAs(schema.RolePinInternal), redisURL)
}

// newServiceWith puts the fixtures into database and lets the service connect to databaseURL.
func newServiceWith(t testing.TB, database *storetest.Database, databaseURL, redisURL string) *service {
	t.Helper()
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: databaseURL, Connections: 10})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	redis, err := stores.OpenRedis(stores.RedisConfig{URL: redisURL})
	must(t, err)
	t.Cleanup(func() { redis.Close() })
	ring, err := keyring.Parse("one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	must(t, err)
	document, err := os.ReadFile("../../openapi.yaml")
	must(t, err)
	spec, err := web.LoadSpec(document, directory.CheckEmail)
	must(t, err)

	s := &service{t: t, people: storetest.NewPeople(t, database), log: &webtest.Log{}}
	pool, registry := slowhash.NewPool(2, 200), prometheus.NewRegistry()
	s.pins = pin.NewStore(db, ring, pool)
	surface := &api.API{
		Spec: spec, Keys: credential.Keys{DB: db}, Directory: directory.Directory{DB: db}, Sessions: session.Store{Redis: redis},
		Verifier: pin.NewVerifier(pin.VerifierConfig{DB: db, Redis: redis, Keys: ring, Pool: pool, Budget: pin.DefaultBudget, Registry: registry}), PINs: s.pins,
	}
	e := web.New(web.Options{Log: s.log.Logger(), Registry: registry, Spec: spec, Unavailable: stores.Unavailable})
	before := len(e.Routes())
	surface.Routes(e)
	s.routes = e.Routes()
	if len(s.routes) <= before {
		t.Fatal("no routes")
	}
	s.Server = webtest.Serve(t, spec, s.log, e)
	s.customer, s.instance = s.people.Customer(), s.people.Instance()
	s.identity, s.key = s.people.Identity(s.customer, s.instance), s.people.ProxyKey(s.instance)
	t.Cleanup(s.keptSecrets)
	return s
}

// keptSecrets looks for what was only ever in requests: in the log and in every row of the database (I7).
func (s *service) keptSecrets() {
	secrets := []string{right, wrong, other, s.key.Reveal()}
	s.NeverLogged(secrets...)
	stored := s.people.Dump()
	for _, secret := range secrets {
		if strings.Contains(stored, secret) {
			s.t.Error("a secret is stored in the clear")
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *service) at(path string) string {
	return "/internal/v1/instances/" + s.instance.String() + path
}

func (s *service) bearer() map[string]string {
	return map[string]string{"Authorization": "Bearer " + s.key.Reveal()}
}

func (s *service) post(path string, body any) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: "POST", Path: s.at(path), Header: s.bearer(), Body: body})
}

func (s *service) identityPath() string { return "/identities/" + s.identity.String() + "/pin" }

// setPIN gives the identity the right PIN through the API.
func (s *service) setPIN() {
	s.t.Helper()
	s.want(s.post(s.identityPath(), map[string]any{"pin": right}), 200)
}

func (s *service) verify(candidate string) webtest.Answer {
	s.t.Helper()
	return s.want(s.post("/pin/verify", map[string]any{"pin": candidate, "identity_id": s.identity}), 200)
}

func (s *service) want(a webtest.Answer, status int) webtest.Answer {
	s.t.Helper()
	if a.Status != status {
		s.t.Fatalf("answered %d, want %d: %s", a.Status, status, a.Body)
	}
	return a
}

// fields fails the test when a field of the answer is not as wanted; numbers are float64.
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
	document, err := os.ReadFile("../../openapi.yaml")
	must(t, err)
	spec, err := web.LoadSpec(document, directory.CheckEmail)
	must(t, err)
	var routes []string
	for _, r := range s.routes {
		if strings.HasPrefix(r.Path, "/internal") {
			routes = append(routes, r.Method+" "+r.Path)
		}
	}
	operations := spec.Operations()
	slices.Sort(routes)
	slices.Sort(operations)
	if !slices.Equal(routes, operations) {
		t.Errorf("routes %v\nthe document has %v", routes, operations)
	}
}
