package pin_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/pin"
)

// A rotation as an operator does it: append, promote, retire, one replica after the other, while people go on typing
// their PINs and setting new ones at both. Nobody is refused at any moment, and in the end nothing lies under the old key.
func TestKeysRotateUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type replica struct {
		*pin.Verifier
		*pin.Store
	}
	var replicas [2]atomic.Pointer[replica]
	restart := func(i int, keys string) {
		v, e := w.replica(keys, prometheus.NewRegistry())
		replicas[i].Store(&replica{v, e})
	}
	restart(0, keyOne)
	restart(1, keyOne)

	// Each person is one goroutine: more than five attempts of one holder at a time would be a lock, and rightly so.
	const people = 3
	var verified [people]atomic.Int64
	stop, started := make(chan struct{}), sync.WaitGroup{}
	for i := range people {
		customer := w.people.Customer()
		who := pin.Subject{InstanceID: w.instance, IdentityID: some(w.people.Identity(customer, w.instance))}
		w.set(pin.Holder{CustomerID: customer}, rightPIN, pin.ByAdmin)
		started.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				at := replicas[n%len(replicas)].Load()
				if i == 0 && n%5 == 0 { // somebody chooses a new PIN now and then
					if _, err := at.Set(context.Background(), w.instance, pin.Holder{CustomerID: customer}, rightPIN, pin.ByAdmin); err != nil {
						t.Errorf("setting a PIN: %v", err)
					}
				}
				if got, err := at.Verify(context.Background(), w.key, who, rightPIN); err != nil || got.Outcome != pin.Right {
					t.Errorf("verification %d of person %d: %s, %v", n, i, got.Outcome, err)
					return
				}
				verified[i].Add(1)
			}
		})
	}
	stopAll := sync.OnceFunc(func() { close(stop); started.Wait() })
	defer stopAll()

	// everybody waits until each person has been verified by both replicas as they are now.
	everybody := func() {
		t.Helper()
		for i := range verified {
			for until := verified[i].Load() + 3; verified[i].Load() < until && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
	}
	for _, step := range []struct{ name, keys string }{
		{"append", keyOne + "," + keyTwo},
		{"promote", keyTwo + "," + keyOne},
	} {
		for i := range replicas {
			restart(i, step.keys)
			everybody()
		}
		if t.Failed() {
			t.Fatalf("at the step: %s", step.name)
		}
	}
	var old, renewed int
	w.people.Get(&old, `select count(*) from pin_holders where verifier like '%,keyid=one$%'`)
	w.people.Get(&renewed, `select count(*) from pin_holders where verifier like '%,keyid=two$%'`)
	if old != 0 || renewed != people {
		t.Fatalf("%d lie under the old key, %d under the new one", old, renewed)
	}
	for i := range replicas {
		restart(i, keyTwo)
		everybody()
	}
	stopAll()
}
