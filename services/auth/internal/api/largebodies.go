package api

import (
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/ratelimit"
)

const (
	// maxLargeBodies limits how many bodies of up to 1 MiB are in memory before their signatures are verified.
	maxLargeBodies = 64
	// maxLargeBodiesPerNetwork is the part of them from one IPv4 address or IPv6 /64. A /56 and a /48 may have 2 and 4 times as
	// many.
	maxLargeBodiesPerNetwork = 8
)

// errLargeBodies means that there is no place for a large body now. A vendor sends the webhook again.
var errLargeBodies = fault.New(fault.Unavailable, "large_bodies", "Too many large requests at the moment, try again later").RetryAfter(time.Second)

// largeBodies are the places for large bodies whose senders are not authenticated yet.
type largeBodies struct {
	mu    sync.Mutex
	taken int
	// perNetwork is how many places each network has. A network without a place has no entry.
	perNetwork map[string]int
}

// take takes a place for a client's address. It returns errLargeBodies if there is none.
func (b *largeBodies) take(address string) error {
	networks := ratelimit.Networks(address)
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.taken >= maxLargeBodies
	for i, network := range networks {
		full = full || b.perNetwork[network] >= maxLargeBodiesPerNetwork<<i
	}
	if full {
		return errLargeBodies
	}
	if b.perNetwork == nil {
		b.perNetwork = map[string]int{}
	}
	b.taken++
	for _, network := range networks {
		b.perNetwork[network]++
	}
	return nil
}

// release gives a place back.
func (b *largeBodies) release(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken--
	for _, network := range ratelimit.Networks(address) {
		if b.perNetwork[network]--; b.perNetwork[network] == 0 {
			delete(b.perNetwork, network)
		}
	}
}
