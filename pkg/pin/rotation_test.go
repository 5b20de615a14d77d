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

// The operator's rotation: append the new key, promote it, remove the old key, at one replica after the other. Meanwhile people
// verify and set PINs at both replicas. No request fails, and in the end no verifier uses the old key.
func TestPepperRotationUnderLoad(t *testing.T) {
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

	// One goroutine for each person, because more than five parallel attempts would lock a PIN.
	const people = 3
	var verified [people]atomic.Int64
	stop, started := make(chan struct{}), sync.WaitGroup{}
	for i := range people {
		customer := w.people.Customer()
		subject := pin.Subject{InstanceID: w.instance, IdentityID: some(w.people.Identity(customer, w.instance))}
		w.set(pin.Holder{CustomerID: customer}, rightPIN, pin.ByAdmin)
		started.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				at := replicas[n%len(replicas)].Load()
				if i == 0 && n%5 == 0 { // the first person sets the PIN again at every fifth round
					if _, err := at.Set(context.Background(), w.instance, pin.Holder{CustomerID: customer}, rightPIN, pin.ByAdmin); err != nil {
						t.Errorf("setting a PIN: %v", err)
					}
				}
				if got, err := at.Verify(context.Background(), w.key, subject, rightPIN); err != nil || got.Outcome != pin.Right {
					t.Errorf("verification %d of person %d: %s, %v", n, i, got.Outcome, err)
					return
				}
				verified[i].Add(1)
			}
		})
	}
	stopAll := sync.OnceFunc(func() { close(stop); started.Wait() })
	defer stopAll()

	// waitForAll waits until each person was verified by both current replicas.
	waitForAll := func() {
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
			waitForAll()
		}
		if t.Failed() {
			t.Fatalf("in the step %s", step.name)
		}
	}
	var old, renewed int
	w.people.Get(&old, `select count(*) from pin_holders where verifier like '%,keyid=one$%'`)
	w.people.Get(&renewed, `select count(*) from pin_holders where verifier like '%,keyid=two$%'`)
	if old != 0 || renewed != people {
		t.Fatalf("%d verifiers use the old key, %d use the new key", old, renewed)
	}
	for i := range replicas {
		restart(i, keyTwo)
		waitForAll()
	}
	stopAll()
}
