package stores_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestErrorsDoNotContainTheURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://user:canary@localhost:x/db", "canary", "postgres://user:canary@%zz/"} {
		if _, err := stores.OpenPostgres(stores.PostgresConfig{URL: url}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("Postgres: %v", err)
		}
	}
	for _, url := range []string{"http://user:canary@localhost", "canary", "redis://:canary@localhost/x", "redis+cluster://:canary@%zz", "redis+sentinel://:canary@%zz"} {
		if _, err := stores.OpenRedis(stores.RedisConfig{URL: url}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("Redis: %v", err)
		}
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for name, rule := range map[string]struct {
		err  error
		want bool
	}{
		"refused":              {refused, true},
		"wrapped":              {fmt.Errorf("charging: %w", refused), true},
		"shutting down":        {&pq.Error{Code: "57P01"}, true},
		"starting":             {&pq.Error{Code: "57P03"}, true},
		"disk full":            {&pq.Error{Code: "53100"}, true},
		"too many connections": {&pq.Error{Code: "53300"}, true},
		"a read-only standby":  {&pq.Error{Code: "25006"}, true},
		"a deadlock":           {&pq.Error{Code: "40P01"}, true},
		"a row is locked":      {&pq.Error{Code: "55P03"}, true},
		"a statement timeout":  {&pq.Error{Code: "57014"}, true},
		"stopped for too long": {&pq.Error{Code: "25P03"}, true},
		"no standby confirms":  {stores.ErrUnconfirmed, true},
		"too slow":             {context.DeadlineExceeded, true},
		"an incomplete body":   {io.ErrUnexpectedEOF, false},
		"an empty body":        {fmt.Errorf("reading the body: %w", io.EOF), false},
		"a wrong statement":    {&pq.Error{Code: "42601"}, false},
		"no such column":       {&pq.Error{Code: "42703"}, false},
		"another error":        {errors.New("other"), false},
	} {
		if got := stores.Unavailable(rule.err); got != rule.want {
			t.Errorf("%s: %v, want %v", name, got, rule.want)
		}
	}
}

func TestBreakerStopsCommandsToAFrozenRedis(t *testing.T) {
	t.Parallel()
	ctx, server := context.Background(), storetest.OwnRedis(t)
	client, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Get(ctx, "nothing").Err(); !errors.Is(err, redis.Nil) {
		t.Fatalf("a missing key: %v, want redis.Nil", err)
	}
	server.Pause()
	for range 3 {
		if client.Ping(ctx).Err() == nil {
			t.Fatal("a frozen server answered")
		}
	}
	if err := client.Ping(ctx).Err(); !errors.Is(err, gobreaker.ErrOpenState) {
		t.Errorf("after three failures: %v, want an open breaker", err)
	}
	server.Resume()
	for client.Ping(ctx).Err() != nil { // the breaker allows a new try after one second
	}
}
