package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/schema"
)

func TestDatabasesAreMigratedAndSeparate(t *testing.T) {
	t.Parallel()
	a, b := Postgres(t).Open(t, ""), Postgres(t).Open(t, "")
	if _, err := a.Exec(`insert into customers (email) values ('a@example.com')`); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := b.Get(&n, `select count(*) from customers`); err != nil || n != 0 {
		t.Errorf("the other database has %d customers, %v", n, err)
	}
}

func TestServiceRolesHaveOnlyTheirPrivileges(t *testing.T) {
	t.Parallel()
	d := Postgres(t)
	tests := []struct {
		role, query string
		refused     bool
	}{
		{role: schema.RolePinInternal, query: `select count(*) from pin_holders`},
		{role: schema.RolePinInternal, query: `select count(*) from users`, refused: true},
		{role: schema.RolePinInternal, query: `delete from customers`, refused: true},
		{role: schema.RolePinAdmin, query: `select count(email) from users`},
		{role: schema.RolePinAdmin, query: `select count(password_hash) from users`, refused: true},
		{role: schema.RoleAuth, query: `select count(*) from users`},
		{role: schema.RoleAuth, query: `select count(*) from pin_holders`, refused: true},
	}
	for _, tt := range tests {
		_, err := d.Open(t, tt.role).Exec(tt.query)
		var e *pq.Error
		if refused := errors.As(err, &e) && e.Code == "42501"; refused != tt.refused || (err != nil && !refused) {
			t.Errorf("%s, %s: %v", tt.role, tt.query, err)
		}
	}
}

func TestOwnRedis(t *testing.T) {
	t.Parallel()
	server := OwnRedis(t)
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.ReadTimeout, options.MaxRetries = 100*time.Millisecond, -1
	client := redis.NewClient(options)
	defer client.Close()
	set := func() error { return client.Set(t.Context(), "key", "value", 0).Err() }

	if err := set(); err != nil {
		t.Fatalf("a running server: %v", err)
	}
	server.Pause()
	if set() == nil {
		t.Error("a frozen server answers")
	}
	server.Resume()
	if err := set(); err != nil {
		t.Errorf("a resumed server: %v", err)
	}
	server.Stop()
	if set() == nil {
		t.Error("a stopped server answers")
	}
	server.Start()
	if err := client.Get(t.Context(), "key").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("after a stop and a start the server still has data: %v", err)
	}
}
