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

// relay stands between a pool and Postgres.
type relay struct {
	address string
	// swallow cuts a connection instead of passing on the next thing that Postgres says.
	swallow atomic.Bool

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
			go r.answers(client, server)
		}
	}()
	t.Cleanup(r.cut)
	return r
}

func (r *relay) answers(client, server net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || r.swallow.CompareAndSwap(true, false) {
			client.Close()
			server.Close()
			return
		}
		client.Write(buffer[:n])
	}
}

// cut closes every connection.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func TestAStatementWhoseAnswerWasLostRunsOnce(t *testing.T) {
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
	r.swallow.Store(true)
	var n int
	if err := charge.Get(&n); !stores.Away(err) {
		t.Errorf("its answer was lost, and it says %v", err)
	}
	var ran int
	if err := database.Open(t, "").Get(&ran, `select count(*) from charges`); err != nil || ran != 1 {
		t.Errorf("it ran %d times, %v", ran, err)
	}
	// What is cut while it is idle, as by a restart of Postgres, nobody has to notice.
	for range 3 {
		if err := charge.Get(&n); err != nil {
			t.Fatal(err)
		}
		r.cut()
		time.Sleep(50 * time.Millisecond) // until the end has arrived
		if err := charge.Get(&n); err != nil {
			t.Errorf("on a connection that was cut before: %v", err)
		}
	}
}
