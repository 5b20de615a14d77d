// Package storetest gives each test stores of its own: a migrated database that no other test sees, and a Redis. The
// servers behind them are those of TEST_DATABASE_URL (as a superuser) and TEST_REDIS_URL; `make test` starts a pair.
package storetest

import (
	"os"
	"testing"
)

func server(t testing.TB, variable string) string {
	t.Helper()
	url := os.Getenv(variable)
	if url == "" {
		t.Fatalf("%s is not set: run the tests with make test, one package with make test T=./pkg/pin", variable)
	}
	return url
}
