package wakeup_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/services/pin-admin/internal/wakeup"
)

// replica is a board that runs on a Redis of its own, and the customers of a database.
type replica struct {
	*wakeup.Board
	t      *testing.T
	people storetest.People
	redis  *storetest.RedisServer
	stop   context.CancelFunc
	// ends are how waits ended, as the board told.
	ends chan wakeup.End
}

func newReplica(t *testing.T) replica {
	t.Helper()
	database, server := storetest.Postgres(t), storetest.OwnRedis(t)
	db := database.Open(t, schema.RolePinAdmin)
	redis, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	board := wakeup.NewBoard(db, redis, (&webtest.Log{}).Logger())
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		board.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		redis.Close()
	})
	return replica{board, t, storetest.NewPeople(t, database), server, stop, make(chan wakeup.End, 100)}
}

// set gives a customer a PIN.
func (r replica) set(customer uuid.UUID) {
	r.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())`, customer)
}

// park lets n requests wait, and returns the connections to their clients.
func (r replica) park(customer uuid.UUID, patience time.Duration, n int) []net.Conn {
	r.t.Helper()
	answer := func(set bool) []byte { return []byte(map[bool]string{true: "set", false: "unset"}[set]) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := r.Park(w, customer, patience, answer, func(how wakeup.End) { r.ends <- how }); err != nil {
			r.t.Error(err)
		}
	}))
	r.t.Cleanup(server.Close)
	var clients []net.Conn
	for range n {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			r.t.Fatal(err)
		}
		clients = append(clients, c)
	}
	return clients
}

// wait is park, and returns when all of them wait.
func (r replica) wait(customer uuid.UUID, n int) []net.Conn {
	r.t.Helper()
	before := r.Waiting()
	clients := r.park(customer, time.Minute, n)
	for r.Waiting() < before+n {
		runtime.Gosched()
	}
	return clients
}

// told reads each client's whole answer, and what the board told.
func (r replica) told(clients []net.Conn, answer string, how wakeup.End) {
	r.t.Helper()
	for _, c := range clients {
		if text, err := io.ReadAll(c); string(text) != answer || err != nil {
			r.t.Errorf("answered %q, %v; want %q", text, err, answer)
		}
		if got := <-r.ends; got != how {
			r.t.Errorf("told %v, want %v", got, how)
		}
	}
	for r.Waiting() > 0 {
		runtime.Gosched()
	}
}

func TestWaitersAreWoken(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(replica, uuid.UUID){
		"by a word through Redis": func(r replica, id uuid.UUID) { r.set(id); r.Announce(context.Background(), id) },
		"when the word was lost":  func(r replica, id uuid.UUID) { r.set(id) },
		"without Redis":           func(r replica, id uuid.UUID) { r.redis.Stop(); r.set(id); r.Announce(context.Background(), id) },
		"after Redis was restarted": func(r replica, id uuid.UUID) {
			r.redis.Stop()
			r.redis.Start()
			r.set(id)
			r.Announce(context.Background(), id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplica(t)
			customer := r.people.Customer()
			clients := r.wait(customer, 10)
			set(r, customer)
			r.told(clients, "set", wakeup.Set)
		})
	}
}

func TestAWordThatIsNotTrueWakesNobody(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	patient, lucky := r.people.Customer(), r.people.Customer()
	lasting, woken := r.wait(patient, 1), r.wait(lucky, 1)
	r.Announce(context.Background(), patient)
	r.set(lucky)
	r.Announce(context.Background(), lucky)
	if text, err := io.ReadAll(woken[0]); string(text) != "set" || err != nil || <-r.ends != wakeup.Set {
		t.Errorf("%q, %v", text, err)
	}
	r.stop()
	r.told(lasting, "unset", wakeup.Unset)
}

func TestWaitingEndsWithoutAPIN(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	customer := r.people.Customer()
	r.told(r.park(customer, time.Millisecond, 3), "unset", wakeup.Unset)

	for _, client := range r.wait(customer, 3) {
		client.Close()
		if got := <-r.ends; got != wakeup.Gone {
			t.Errorf("a client that hung up: %v", got)
		}
	}
	clients := r.wait(customer, 3)
	r.stop()
	r.told(clients, "unset", wakeup.Unset)
	r.told(r.park(customer, time.Minute, 1), "unset", wakeup.Unset) // too late to wait
}

func TestAPINThatIsSetNeedsNoWaiting(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	customer := r.people.Customer()
	r.set(customer)
	r.told(r.park(customer, time.Minute, 1), "set", wakeup.Set)
}
