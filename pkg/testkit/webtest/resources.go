package webtest

import (
	"os"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
)

// Postgres connects to databaseURL as the services do, and closes the connections at the end of the test.
func Postgres(t testing.TB, databaseURL string) *sqlx.DB {
	t.Helper()
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: databaseURL, Connections: 20})
	if err != nil {
		t.Fatalf("connecting to Postgres: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Keys is the text of the keyring in Resources.
const Keys = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// Resources returns what the wiring of a service needs. The test must be in the package internal/api of the service, because
// the path of the OpenAPI document is relative to this package. The pool hashes two secrets at a time and has a place for every
// request of a test.
func Resources(t testing.TB, log *Log, db *sqlx.DB, redis redis.UniversalClient) service.Resources {
	t.Helper()
	document, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatalf("reading the OpenAPI document: %v", err)
	}
	ring, err := keyring.Parse(Keys)
	if err != nil {
		t.Fatalf("parsing the keyring: %v", err)
	}
	return service.Resources{Log: log.Logger(), DB: db, Redis: redis, Pool: slowhash.NewPool(2, 400), Registry: prometheus.NewRegistry(),
		Keys: ring, OpenAPI: document}
}

// RoutesAreDocumented fails the test unless routes contains exactly the operations of the OpenAPI document, the pages, the
// document itself and its page /docs. operations and pages have the form "GET /path".
func RoutesAreDocumented(t testing.TB, routes []*echo.Route, operations []string, pages ...string) {
	t.Helper()
	want := slices.Concat(operations, pages, []string{"GET /openapi.yaml", "GET /docs"})
	var got []string
	for _, route := range routes {
		got = append(got, route.Method+" "+route.Path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the routes are %v\nwant %v", got, want)
	}
}
