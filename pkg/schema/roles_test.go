package schema_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// Postgres must end a statement before the service stops to wait for its answer.
func TestTimeLimitsAreOrdered(t *testing.T) {
	t.Parallel()
	if !(stores.LockTimeout < stores.StatementTimeout && stores.StatementTimeout < stores.AnswerTimeout) {
		t.Errorf("lock %s, statement %s, answer %s: want each longer than the one before", stores.LockTimeout, stores.StatementTimeout, stores.AnswerTimeout)
	}
}

func TestServiceRolesHaveLimits(t *testing.T) {
	t.Parallel()
	server, err := localstores.StartPostgres(t.Context(), localstores.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	admin, err := sqlx.Connect("postgres", server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	passwords := map[string]string{}
	for _, role := range schema.Roles {
		passwords[role] = "password"
	}
	var allowed int
	if err := admin.Get(&allowed, `select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`); err != nil {
		t.Fatal(err)
	}
	for _, run := range []struct{ connections, want int }{{0, (allowed - 10) / 3}, {25, 25}, {25, 25}} {
		if err := schema.EnsureRoles(t.Context(), admin.DB, passwords, run.connections); err != nil {
			t.Fatal(err)
		}
		for _, role := range schema.Roles {
			u, _ := url.Parse(server.URL)
			u.User = url.UserPassword(role, "password")
			db, err := sqlx.Connect("postgres", u.String())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var got struct {
				Lock        int `db:"lock_timeout"`
				Statement   int `db:"statement_timeout"`
				Idle        int `db:"idle_in_transaction_session_timeout"`
				Connections int
			}
			const q = `
				select (select setting::int from pg_settings where name = 'lock_timeout') as lock_timeout,
				       (select setting::int from pg_settings where name = 'statement_timeout') as statement_timeout,
				       (select setting::int from pg_settings where name = 'idle_in_transaction_session_timeout') as idle_in_transaction_session_timeout,
				       rolconnlimit as connections from pg_roles where rolname = current_user`
			if err := db.Get(&got, q); err != nil {
				t.Fatal(err)
			}
			ms := func(d time.Duration) int { return int(d.Milliseconds()) }
			if got.Lock != ms(stores.LockTimeout) || got.Statement != ms(stores.StatementTimeout) || got.Idle != ms(stores.IdleTimeout) || got.Connections != run.want {
				t.Errorf("%s: %+v, want %d connections", role, got, run.want)
			}
		}
	}
	var limit string
	if err := admin.Get(&limit, `select current_setting('statement_timeout')`); err != nil || limit != "0" {
		t.Errorf("the administrator's statement_timeout is %s, %v, want 0", limit, err)
	}
}
