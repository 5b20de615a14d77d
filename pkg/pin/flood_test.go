package pin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/slowhash"
)

// I4: what is shed is not charged, and is refused before it costs a query.
func TestAFloodIsShedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	ring, err := keyring.Parse(keyOne)
	if err != nil {
		t.Fatal(err)
	}
	pool := slowhash.NewPool(1, 2)
	leave, err := pool.Reserve(w.instance)
	if err != nil {
		t.Fatal(err)
	}
	verifier := pin.NewVerifier(w.db, w.redis, ring, pool, w.budget, prometheus.NewRegistry())
	shed := func() {
		t.Helper()
		if _, err := verifier.Verify(context.Background(), w.subject(), wrongPIN); !errors.Is(err, slowhash.ErrBusy) {
			t.Errorf("with every place taken: %v", err)
		}
	}
	shed()
	if got := w.verify(wrongPIN); *got.Remaining != 4 {
		t.Errorf("%d left, want 4", *got.Remaining)
	}
	w.db.Close()
	shed()
	leave()
	if _, err := verifier.Verify(context.Background(), w.subject(), wrongPIN); err == nil || errors.Is(err, slowhash.ErrBusy) {
		t.Errorf("with a place: %v", err)
	}
}
