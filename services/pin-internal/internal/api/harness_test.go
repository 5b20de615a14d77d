package api_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-internal/internal/app"
)

// The PINs of the tests are canaries: only requests may contain them.
const right, wrong, other = "83174629", "40291735", "91827346"

const approvalURL = "https://approve.example.test"

// service is a pin-internal with its own database and Redis. They contain one customer with one identity on one instance.
type service struct {
	*webtest.Server
	t      testing.TB
	people storetest.People
	app    *app.App
	log    *webtest.Log
	// stop ends the background work, and with it all waits.
	stop func()

	instance, customer, identity uuid.UUID
	key                          token.Token
}

func newService(t testing.TB) *service {
	return newServiceOn(t, storetest.RedisAs(t, storetest.Redis(t), schema.RolePinInternal))
}

func newServiceOn(t testing.TB, redisURL string) *service {
	t.Helper()
	database := storetest.Postgres(t)
	return newServiceWith(t, database, database.URLAs(schema.RolePinInternal), redisURL)
}

// newServiceWith writes the fixtures to database. The service connects to databaseURL.
func newServiceWith(t testing.TB, database *storetest.Database, databaseURL, redisURL string) *service {
	t.Helper()
	redis, err := stores.OpenRedis(stores.RedisConfig{URL: redisURL})
	must(t, err)
	t.Cleanup(func() { redis.Close() })
	s := &service{t: t, people: storetest.NewPeople(t, database), log: &webtest.Log{}}
	settings := app.DefaultSettings()
	settings.ApprovalURL = approvalURL
	s.app, err = app.New(settings, webtest.Resources(t, s.log, webtest.Postgres(t, databaseURL), redis))
	must(t, err)
	running, stop := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { s.app.Run(running) })
	s.stop = func() { stop(); background.Wait() }
	t.Cleanup(s.stop)
	s.Server = webtest.Serve(t, s.app.API.Spec, s.log, s.app.Handler())
	s.customer, s.instance = s.people.Customer(), s.people.Instance()
	s.identity, s.key = s.people.Identity(s.customer, s.instance), s.people.ProxyKey(s.instance)
	t.Cleanup(s.checkNoSecretIsStored)
	return s
}

// checkNoSecretIsStored searches the log and every row of the database for the PINs and the key of the requests (I7).
func (s *service) checkNoSecretIsStored() {
	secrets := []string{right, wrong, other, s.key.Reveal()}
	s.NeverLogged(secrets...)
	stored := s.people.Dump()
	for _, secret := range secrets {
		if strings.Contains(stored, secret) {
			s.t.Error("a secret is stored in plain text")
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
	s.Want(s.post(s.identityPath(), map[string]any{"pin": right}), 200)
}

func (s *service) verify(candidate string) webtest.Answer {
	s.t.Helper()
	return s.Want(s.post("/pin/verify", map[string]any{"pin": candidate, "identity_id": s.identity}), 200)
}
