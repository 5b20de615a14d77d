package wakeup_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/wakeup"
)

// most is how many requests may wait for one customer, and mostOfGroup how many requests of one group may wait.
const most, mostOfGroup = 10, 15

// replica is a running board with a Redis of its own.
type replica struct {
	*wakeup.Board
	t      *testing.T
	people storetest.People
	redis  *storetest.RedisServer
	stop   context.CancelFunc
}

func newReplica(t *testing.T) replica {
	t.Helper()
	database, server := storetest.Postgres(t), storetest.OwnRedis(t)
	db := database.Open(t, schema.RolePinAdmin)
	redis, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	board := wakeup.NewBoard(redis, (&webtest.Log{}).Logger(), pin.AwaitSet(db), wakeup.Limits{PerID: most, PerGroup: mostOfGroup})
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		board.Run(ctx)
		close(stopped)
	}()
	t.Cleanup(func() {
		stop()
		<-stopped
		redis.Close()
	})
	return replica{board, t, storetest.NewPeople(t, database), server, stop}
}

// setPIN gives a customer a PIN.
func (r replica) setPIN(customer uuid.UUID) {
	r.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())`, customer)
}

// request is one waiting request.
type request struct {
	client net.Conn
	result chan string // "set", "not set" or "disconnected"
}

// wait starts n requests that wait for a customer's PIN.
func (r replica) wait(customer uuid.UUID, timeout time.Duration, n int) []request {
	r.t.Helper()
	var requests []request
	for range n {
		client, server := net.Pipe()
		r.t.Cleanup(func() { client.Close() })
		result := make(chan string, 1)
		waiter, err := r.Join(customer, customer)
		if err != nil {
			r.t.Fatal(err)
		}
		go func() {
			defer waiter.Leave()
			set, err := waiter.Wait(server, timeout)
			switch {
			case err != nil:
				result <- "disconnected"
			case set:
				result <- "set"
			default:
				result <- "not set"
			}
		}()
		requests = append(requests, request{client, result})
	}
	return requests
}

// want checks how each wait ends, and that all requests leave the board.
func (r replica) want(requests []request, want string) {
	r.t.Helper()
	for _, request := range requests {
		if got := <-request.result; got != want {
			r.t.Errorf("the wait ended with %q, want %q", got, want)
		}
	}
	for r.Waiting() > 0 {
		runtime.Gosched()
	}
}

func TestRequestsAreWokenWhenThePINIsSet(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(replica, uuid.UUID){
		"announced through Redis":  func(r replica, id uuid.UUID) { r.setPIN(id); r.Announce(context.Background(), id) },
		"the announcement is lost": func(r replica, id uuid.UUID) { r.setPIN(id) },
		"Redis is down":            func(r replica, id uuid.UUID) { r.redis.Stop(); r.setPIN(id); r.Announce(context.Background(), id) },
		"Redis has been restarted": func(r replica, id uuid.UUID) {
			r.redis.Stop()
			r.redis.Start()
			r.setPIN(id)
			r.Announce(context.Background(), id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplica(t)
			customer := r.people.Customer()
			requests := r.wait(customer, time.Minute, 10)
			set(r, customer)
			r.want(requests, "set")
		})
	}
}

func TestFalseAnnouncementWakesNoRequest(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	without, with := r.people.Customer(), r.people.Customer()
	waiting, woken := r.wait(without, time.Minute, 1), r.wait(with, time.Minute, 1)
	r.Announce(context.Background(), without)
	r.setPIN(with)
	r.Announce(context.Background(), with)
	if got := <-woken[0].result; got != "set" {
		t.Errorf("the wait ended with %q", got)
	}
	r.stop()
	r.want(waiting, "not set")
}

func TestTooManyRequestsOfACustomerAreRefused(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	customer := r.people.Customer()
	var joined atomic.Int64
	var running sync.WaitGroup
	waiters := make(chan *wakeup.Waiter, 10*most)
	for range 10 * most {
		running.Go(func() {
			waiter, err := r.Join(customer, customer)
			switch {
			case err == nil:
				joined.Add(1)
				waiters <- waiter
			case !errors.Is(err, wakeup.ErrTooMany):
				t.Error(err)
			}
		})
	}
	running.Wait()
	if joined.Load() != most {
		t.Errorf("%d requests wait, want %d", joined.Load(), most)
	}
	r.wait(r.people.Customer(), time.Minute, 1) // another customer
	(<-waiters).Leave()
	r.wait(customer, time.Minute, 1)
	for range most - 1 {
		(<-waiters).Leave()
	}
}

func TestTooManyRequestsOfAGroupAreRefused(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	group := uuid.New()
	var all []*wakeup.Waiter
	for range mostOfGroup {
		waiter, err := r.Join(uuid.New(), group)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, waiter)
	}
	if _, err := r.Join(uuid.New(), group); !errors.Is(err, wakeup.ErrTooMany) {
		t.Errorf("one more request of the group: %v", err)
	}
	other, err := r.Join(uuid.New(), uuid.New())
	if err != nil {
		t.Fatalf("another group: %v", err)
	}
	all[0].Leave()
	all[0].Leave() // the second call frees no place of another request
	again, err := r.Join(uuid.New(), group)
	if err != nil {
		t.Fatalf("after a request has left: %v", err)
	}
	if _, err := r.Join(uuid.New(), group); !errors.Is(err, wakeup.ErrTooMany) {
		t.Errorf("one more request of the group: %v", err)
	}
	for _, waiter := range append(all, other, again) {
		waiter.Leave()
	}
}

func TestWaitEndsAfterTheTimeout(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	r.want(r.wait(r.people.Customer(), time.Millisecond, 3), "not set")
}

func TestWaitEndsWhenTheClientDisconnects(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	requests := r.wait(r.people.Customer(), time.Minute, 3)
	for _, request := range requests {
		request.client.Close()
	}
	r.want(requests, "disconnected")
}

func TestWaitEndsWhenTheServiceStops(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	customer := r.people.Customer()
	requests := r.wait(customer, time.Minute, 3)
	r.stop()
	r.want(requests, "not set")
	r.want(r.wait(customer, time.Minute, 1), "not set") // it joins after the stop
}

func TestWakingBeforeWaitIsNotLost(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	customer := r.people.Customer()
	early, err := r.Join(customer, customer)
	if err != nil {
		t.Fatal(err)
	}
	sentinel := r.wait(customer, time.Minute, 1)
	r.setPIN(customer)
	r.Announce(context.Background(), customer)
	if got := <-sentinel[0].result; got != "set" { // so the board has woken both
		t.Fatalf("the wait ended with %q", got)
	}
	client, server := net.Pipe()
	defer client.Close()
	if set, err := early.Wait(server, time.Minute); !set || err != nil {
		t.Errorf("%v, %v", set, err)
	}
	early.Leave()
}
