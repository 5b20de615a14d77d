// Package storetest provides stores for tests: a migrated database for each test, and a Redis. The databases are on the server
// of TEST_DATABASE_URL, whose user must be a superuser. The shared Redis is the server of TEST_REDIS_URL. `make test` starts
// both servers.
package storetest

import (
	"os"
	"testing"
)

func server(t testing.TB, variable string) string {
	t.Helper()
	url := os.Getenv(variable)
	if url == "" {
		t.Fatalf("%s is not set: run the tests with make test, or one package with make test T=./pkg/pin", variable)
	}
	return url
}
