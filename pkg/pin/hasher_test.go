package pin_test

import (
	"context"
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/pin"
)

func TestCountByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.set(w.identityHolder(), rightPIN, pin.ByAdmin)
	_, w.pins = w.replica(keyTwo+","+keyOne, prometheus.NewRegistry())
	w.set(pin.Holder{CustomerID: w.people.Customer()}, thirdPIN, pin.ByAdmin)
	w.people.Exec(`insert into pin_holders (holder_id, customer_id) select id, id from customers where id = $1`, w.people.Customer())
	counts, err := pin.CountByKey(context.Background(), w.db)
	if want := map[string]int{"one": 2, "two": 1}; err != nil || !maps.Equal(counts, want) {
		t.Errorf("counted %v, want %v: %v", counts, want, err)
	}
}
