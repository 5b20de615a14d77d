package enrolment_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/enrolment"
)

const goodPIN = "83174629"

// world is a database with one customer, and the links.
type world struct {
	t        *testing.T
	people   storetest.People
	links    enrolment.Links
	customer uuid.UUID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	database := storetest.Postgres(t)
	r := webtest.Resources(t, &webtest.Log{}, webtest.Postgres(t, database.URLAs(schema.RolePinAdmin)), storetest.RedisClient(t, storetest.Redis(t)))
	w := &world{t: t, people: storetest.NewPeople(t, database), links: enrolment.Links{DB: r.DB, PINs: pin.NewStore(r.DB, r.Redis, r.Keys, r.Pool)}}
	w.customer = w.people.Customer()
	return w
}

func (w *world) issue() string {
	w.t.Helper()
	issued, _, err := w.links.Issue(w.t.Context(), w.customer)
	if err != nil {
		w.t.Fatal(err)
	}
	return issued.Reveal()
}

func (w *world) complete(link, chosen string) error {
	p, err := pin.Parse(chosen)
	if err != nil {
		return err
	}
	_, err = w.links.Complete(context.Background(), link, p, func(*sqlx.Tx, uuid.UUID) error { return nil })
	return err
}

// wantPINs checks how often a PIN of the customer was set.
func (w *world) wantPINs(want int) {
	w.t.Helper()
	var got int
	w.people.Get(&got, `select count(*) from audit where action = 'pin.set' and customer_id = $1`, w.customer)
	if got != want {
		w.t.Errorf("%d PINs were set, want %d", got, want)
	}
}

// Of parallel requests with different PINs, one sets its PIN.
func TestParallelCompletionsSetOnePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := w.issue()
	var set atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			switch err := w.complete(link, fmt.Sprintf("83174629%03d", 105+7*i)); {
			case err == nil:
				set.Add(1)
			case !errors.Is(err, enrolment.ErrUsed) && !errors.Is(err, slowhash.ErrBusy):
				t.Errorf("got %v, want ErrUsed or ErrBusy", err)
			}
		})
	}
	wg.Wait()
	if set.Load() != 1 {
		t.Errorf("%d requests set a PIN, want 1", set.Load())
	}
	w.wantPINs(1)
}

// The link is open when it is checked, and no longer when it is used. The statement that uses it checks this again.
func TestLinkThatEndsDuringItsCompletion(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		change string
		args   []any
		want   error
	}{
		"used":     {`update pin_enrolments set used_at = now()`, nil, enrolment.ErrUsed},
		"expired":  {`update pin_enrolments set expires_at = now() - interval '1 second'`, nil, enrolment.ErrExpired},
		"replaced": {`update pin_enrolments set token_hash = $1`, []any{token.New(token.Enrolment).Hash()}, enrolment.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			link := w.issue()
			tx := w.people.Begin()
			if _, err := tx.Exec(end.change, end.args...); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- w.complete(link, goodPIN) }()
			w.people.AwaitLocks(1)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; !errors.Is(err, end.want) {
				t.Errorf("got %v, want %v", err, end.want)
			}
			w.wantPINs(0)
		})
	}
}

// A completion whose last step fails changes nothing, and the link stays open.
func TestFailedCompletionDoesNotUseTheLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := w.issue()
	p, err := pin.Parse(goodPIN)
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("a failure after the PIN was set")
	if _, err := w.links.Complete(t.Context(), link, p, func(*sqlx.Tx, uuid.UUID) error { return failure }); !errors.Is(err, failure) {
		t.Fatalf("got %v", err)
	}
	w.wantPINs(0)
	if err := w.complete(link, goodPIN); err != nil {
		t.Error(err)
	}
	w.wantPINs(1)
}

// The customer is deleted while the link is completed: both end, in any order, and no request fails with a deadlock.
func TestCustomerDeletedDuringTheCompletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := w.issue()
	tx := w.people.Begin()
	if _, err := tx.Exec(`select from customers where id = $1 for update`, w.customer); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.complete(link, goodPIN) }()
	w.people.AwaitLocks(1)
	if _, err := tx.Exec(`delete from customers where id = $1`, w.customer); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, enrolment.ErrUnknown) && !errors.Is(err, pin.ErrGone) {
		t.Errorf("got %v", err)
	}
}
