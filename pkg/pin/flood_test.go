package pin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/slowhash"
)

// I4: a shed request charges nothing, and it is refused before the first query.
func TestShedRequestCostsNoQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	ring, err := keyring.Parse(keyOne)
	if err != nil {
		t.Fatal(err)
	}
	pool := slowhash.NewPool(1, 2)
	place, err := pool.Reserve(w.instance)
	if err != nil {
		t.Fatal(err)
	}
	verifier := pin.NewVerifier(pin.VerifierConfig{DB: w.db, Redis: w.redis, Sessions: w.sessions, Keys: ring, Pool: pool, Budget: w.budget, Registry: prometheus.NewRegistry()})
	shed := func() {
		t.Helper()
		if _, err := verifier.Verify(context.Background(), w.key, w.subject(), wrongPIN); !errors.Is(err, slowhash.ErrBusy) {
			t.Errorf("without a free place: %v", err)
		}
	}
	shed()
	if got := w.verify(wrongPIN); *got.Remaining != 4 {
		t.Errorf("%d left, want 4", *got.Remaining)
	}
	w.db.Close()
	shed()
	place.Release()
	if _, err := verifier.Verify(context.Background(), w.key, w.subject(), wrongPIN); err == nil || errors.Is(err, slowhash.ErrBusy) {
		t.Errorf("with a free place and without a database: %v", err)
	}
}

// While a charge waits in Postgres, its verification holds a place but no permit, so other candidates are compared.
func TestWaitingChargeHoldsNoPermit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	other := w.people.Customer()
	w.set(pin.Holder{CustomerID: other}, thirdPIN, pin.ByAdmin)
	w.people.Identity(other, w.instance)
	ring, err := keyring.Parse(keyOne)
	if err != nil {
		t.Fatal(err)
	}
	verifier := pin.NewVerifier(pin.VerifierConfig{DB: w.db, Redis: w.redis, Sessions: w.sessions, Keys: ring, Pool: slowhash.NewPool(1, 100), Budget: w.budget, Registry: prometheus.NewRegistry()})

	row, err := w.db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer row.Rollback()
	if _, err := row.Exec(`select from pin_holders where holder_id = $1 for update`, w.customer); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := verifier.Verify(context.Background(), w.key, w.subject(), rightPIN)
		waiting <- err
	}()
	for blocked := false; !blocked; {
		w.people.Get(&blocked, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than the waiting verification has
	defer cancel()
	result, err := verifier.Verify(ctx, w.key, pin.Subject{InstanceID: w.instance, CustomerID: some(other)}, thirdPIN)
	if err != nil || result.Outcome != pin.Right {
		t.Errorf("%s, %v", result.Outcome, err)
	}
	if err := row.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the verification that waited: %v", err)
	}
}
