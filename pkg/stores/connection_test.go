package stores_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// relay forwards connections of a pool to Postgres.
type relay struct {
	address string
	// dropNext closes a connection instead of forwarding the next answer of Postgres.
	dropNext atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	r := &relay{address: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, client, server)
			r.mu.Unlock()
			go io.Copy(server, client)
			go r.forwardAnswers(client, server)
		}
	}()
	t.Cleanup(r.closeAll)
	return r
}

func (r *relay) forwardAnswers(client, server net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || r.dropNext.CompareAndSwap(true, false) {
			client.Close()
			server.Close()
			return
		}
		client.Write(buffer[:n])
	}
}

// closeAll closes every connection.
func (r *relay) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func TestStatementWhoseAnswerIsLostRunsOnce(t *testing.T) {
	t.Parallel()
	database := storetest.Postgres(t)
	address, err := url.Parse(database.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, address.Host)
	address.Host = r.address
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: address.String(), Connections: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.MustExec(`create table charges (n int)`)
	charge, err := db.Preparex(`insert into charges values (1) returning n`)
	if err != nil {
		t.Fatal(err)
	}
	r.dropNext.Store(true)
	var n int
	if err := charge.Get(&n); !stores.Unavailable(err) {
		t.Errorf("after a lost answer: %v, want an error for which Unavailable is true", err)
	}
	var ran int
	if err := database.Open(t, "").Get(&ran, `select count(*) from charges`); err != nil || ran != 1 {
		t.Errorf("the statement ran %d times, %v, want once", ran, err)
	}
	// A connection that was closed while it was idle, for example by a restart of Postgres, causes no error.
	for range 3 {
		if err := charge.Get(&n); err != nil {
			t.Fatal(err)
		}
		r.closeAll()
		time.Sleep(50 * time.Millisecond) // until the pool's side has received the close
		if err := charge.Get(&n); err != nil {
			t.Errorf("after the connections were closed: %v", err)
		}
	}
}

// Postgres ends a connection with an error message, for example when an administrator stops it. The statement may have been
// committed before, so it must not run again on another connection.
func TestStatementOfAnEndedBackendRunsOnce(t *testing.T) {
	t.Parallel()
	database := storetest.Postgres(t)
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: database.URL, Connections: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	admin := database.Open(t, "")
	admin.MustExec(`create table charges as select 0 as n`)
	charge, err := db.Preparex(`update charges set n = n + 1 returning n`)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"a statement":          func() error { _, err := db.Exec(`update charges set n = n + 1`); return err },
		"a prepared statement": func() error { _, err := charge.Exec(); return err },
		"a query":              func() error { return db.Get(new(int), `update charges set n = n + $1 returning n`, 1) },
		"a prepared query":     func() error { return charge.Get(new(int)) },
	} {
		held := admin.MustBegin()
		held.MustExec(`select from charges for update`)
		done := make(chan error)
		go func() { done <- do() }()
		for ended := 0; ended == 0; {
			const q = `select count(*) from pg_stat_activity
				where case when datname = current_database() and wait_event_type = 'Lock' then pg_terminate_backend(pid) end`
			if err := admin.Get(&ended, q); err != nil {
				t.Fatal(err)
			}
		}
		held.Rollback()
		if err := <-done; !stores.Unavailable(err) || stores.ChangedNothing(err) {
			t.Errorf("%s: %v, want an error for which only Unavailable is true", name, err)
		}
		// An idle connection that was ended causes no error.
		admin.MustExec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
		for others := 1; others > 0; {
			if err := admin.Get(&others, `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`); err != nil {
				t.Fatal(err)
			}
		}
		if err := do(); err != nil {
			t.Errorf("%s after the connections were ended: %v", name, err)
		}
	}
	var ran int
	if err := admin.Get(&ran, `select n from charges`); err != nil || ran != 4 {
		t.Errorf("%d statements ran, %v, want 4", ran, err)
	}
}
