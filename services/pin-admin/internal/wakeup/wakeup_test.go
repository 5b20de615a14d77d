package wakeup_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/storetest"
	"github.com/countersign/countersign/pkg/webtest"
	"github.com/countersign/countersign/services/pin-admin/internal/wakeup"
)

// replica is a board that runs on a Redis of its own, and the customers of a database.
type replica struct {
	*wakeup.Board
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
	return replica{board, storetest.NewPeople(t, database), server, stop}
}

// set gives a customer a PIN.
func (r replica) set(customer uuid.UUID) {
	r.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())`, customer)
}

// wait waits in the background, and returns when n requests do.
func (r replica) wait(customer uuid.UUID, n int) (answers chan bool) {
	answers = make(chan bool, n)
	for range n {
		go func() {
			got, _ := r.Wait(context.Background(), customer, time.Minute)
			answers <- got
		}()
	}
	for r.Waiting() < n {
		runtime.Gosched()
	}
	return answers
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
			answers := r.wait(customer, 10)
			set(r, customer)
			for range 10 {
				if !<-answers {
					t.Error("the wait ran out")
				}
			}
			if r.Waiting() != 0 {
				t.Errorf("%d still wait", r.Waiting())
			}
		})
	}
}

func TestAWordThatIsNotTrueWakesNobody(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	patient, lucky := r.people.Customer(), r.people.Customer()
	stillWaiting := r.wait(patient, 1)
	r.Announce(context.Background(), patient)
	r.set(lucky)
	if got, err := r.Wait(context.Background(), lucky, time.Minute); !got || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	r.stop()
	if <-stillWaiting {
		t.Error("woken without a PIN")
	}
}

func TestWaitingEndsWithoutAPIN(t *testing.T) {
	t.Parallel()
	r := newReplica(t)
	customer := r.people.Customer()
	if got, err := r.Wait(context.Background(), customer, time.Millisecond); got || err != nil {
		t.Errorf("when time runs out: %v, %v", got, err)
	}
	gone, hangUp := context.WithCancel(context.Background())
	hangUp()
	if got, err := r.Wait(gone, customer, time.Minute); got || !errors.Is(err, context.Canceled) {
		t.Errorf("when the client is gone: %v, %v", got, err)
	}
	answers := r.wait(customer, 1)
	r.stop()
	if <-answers {
		t.Error("at shutdown: true")
	}
}
