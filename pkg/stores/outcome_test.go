package stores_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// If ChangedNothing returns true for an error after which Postgres may have committed, a person is told that an attempt was not
// charged, although it was.
func TestChangedNothing(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		err  error
		want bool
	}{
		"the row was locked":              {&pq.Error{Code: "55P03", Severity: "ERROR"}, true},
		"in another language":             {&pq.Error{Code: "55P03", Severity: "FEHLER"}, true},
		"ended by statement_timeout":      {&pq.Error{Code: "57014", Severity: "ERROR"}, true},
		"a deadlock":                      {&pq.Error{Code: "40P01", Severity: "ERROR"}, true},
		"a wrong statement":               {&pq.Error{Code: "42601", Severity: "ERROR"}, true},
		"wrapped":                         {fmt.Errorf("charging: %w", &pq.Error{Code: "55P03", Severity: "ERROR"}), true},
		"a disk that is full":             {&pq.Error{Code: "53100", Severity: "ERROR"}, true},
		"a disk that is full at a commit": {&pq.Error{Code: "53100", Severity: "PANIC"}, false},
		"Postgres says that it is unknown": {
			&pq.Error{Code: "40003", Severity: "ERROR"}, false},
		"Postgres lost its connection": {&pq.Error{Code: "08006", Severity: "ERROR"}, false},
		"an administrator ended it":    {&pq.Error{Code: "57P01", Severity: "FATAL"}, false},
		"Postgres crashed":             {&pq.Error{Code: "57P02", Severity: "FATAL"}, false},
		"no standby confirms":          {stores.ErrUnconfirmed, false},
		"the answer was lost":          {&net.OpError{Op: "read", Err: errors.New("closed")}, false},
		"the service's deadline":       {context.DeadlineExceeded, false},
		"the client's cancellation":    {context.Canceled, false},
		"a bad connection":             {driver.ErrBadConn, false},
		"an incomplete answer":         {io.ErrUnexpectedEOF, false},
		"an error of another kind":     {errors.New("other"), false},
	} {
		if got := stores.ChangedNothing(rule.err); got != rule.want {
			t.Errorf("%s: %v, want %v", name, got, rule.want)
		}
	}
}

func TestStatementThatIsNotSentChangesNothing(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	wrongPassword, err := url.Parse(storetest.Postgres(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	wrongPassword.User = url.UserPassword(wrongPassword.User.Username(), "wrong")
	for name, address := range map[string]string{"no server": "postgres://user@" + closed.Addr().String(), "refused": wrongPassword.String()} {
		db, err := stores.OpenPostgres(stores.PostgresConfig{URL: address, Connections: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(`select 1`); err == nil || !stores.ChangedNothing(err) {
			t.Errorf("%s: %v, want an error for which ChangedNothing is true", name, err)
		}
	}
}

// A cancelled wait for the synchronous standby is an error for each kind of statement. Postgres only sends a warning.
func TestUnconfirmedCommitIsAnError(t *testing.T) {
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
	admin.MustExec(`create table notes (n int)`)
	admin.MustExec(`alter system set synchronous_standby_names = 'missing'`)
	admin.MustExec(`select pg_reload_conf()`)
	for _, pooled := range []bool{false, true} {
		t.Run(fmt.Sprintf("pooled %t", pooled), func(t *testing.T) {
			db, err := stores.OpenPostgres(stores.PostgresConfig{URL: server.URL + "&options=-c%20synchronous_commit=on", Connections: 2, Pooled: pooled})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			insert, err := db.Preparex(`insert into notes values ($1) returning n`)
			if err != nil {
				t.Fatal(err)
			}
			for name, do := range map[string]func(ctx context.Context) error{
				"a query": func(ctx context.Context) error {
					return db.GetContext(ctx, new(int), `insert into notes values ($1) returning n`, 1)
				},
				"a prepared query": func(ctx context.Context) error { return insert.GetContext(ctx, new(int), 2) },
				"a statement": func(ctx context.Context) error {
					_, err := db.ExecContext(ctx, `insert into notes values ($1)`, 3)
					return err
				},
				"a prepared statement": func(ctx context.Context) error {
					_, err := insert.ExecContext(ctx, 4)
					return err
				},
				"a transaction": func(ctx context.Context) error {
					return stores.InTransaction(ctx, db, func(tx *sqlx.Tx) error {
						_, err := tx.Exec(`insert into notes values (5)`)
						return err
					})
				},
			} {
				done := make(chan error)
				go func() { done <- do(context.Background()) }()
				for cancelled := 0; cancelled == 0; {
					const q = `select count(*) from pg_stat_activity where case when wait_event = 'SyncRep' then pg_cancel_backend(pid) end`
					if err := admin.Get(&cancelled, q); err != nil {
						t.Fatal(err)
					}
				}
				if err := <-done; !errors.Is(err, stores.ErrUnconfirmed) {
					t.Errorf("%s: %v, want ErrUnconfirmed", name, err)
				}
			}
			if _, err := db.Exec(`select 1`); err != nil {
				t.Errorf("the next statement: %v", err)
			}
		})
	}
}
