// Package slowhash hashes low-entropy secrets with Argon2id, in a pool that bounds both how many hashes run (a permit per
// core: more only share the same cores and cost 19 MiB each) and how many requests wait for one (places: a long queue
// serves no more people, it only makes all of them wait). A place is taken before anything is charged or read; a permit
// only for the hashing itself.
package slowhash

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrBusy says that every place this tenant may have is taken.
var ErrBusy = fault.New(fault.Unavailable, "overloaded", "Too many verifications at once, try again shortly").RetryAfter(time.Second)

// Pool bounds hashing for one process.
type Pool struct {
	permits chan struct{}
	places  int

	mu    sync.Mutex
	taken map[uuid.UUID]int
	total int
}

// NewPool makes a pool of permits parallel hashes (1 for each core) and places requests at a time, waiting ones and
// running ones together; places is at least twice permits.
func NewPool(permits, places int) *Pool {
	return &Pool{permits: make(chan struct{}, permits), places: max(places, 2*permits), taken: map[uuid.UUID]int{}}
}

// MakeRoom lets Go run permits more goroutines at a time, so that the ones which hash do not keep those waiting that answer:
// it is the kernel then which shares the cores, and it lets a thread that wakes up go first. Refusals in a flood took 400 ms
// without this and 120 ms with it, on the same overloaded machine (TestOverload in deploy/tests/attack). A program calls it once.
func MakeRoom(permits int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + permits) }

// Reserve takes a place for a tenant, or returns ErrBusy. A tenant gets one while it holds fewer than are free: n tenants
// that push hard end up with one part in n+1 each, so that there is room for the next one, and nobody has to be counted or
// configured (dynamic thresholds; Choudhury and Hahne, 1998). release gives the place back and may be called more than once.
func (p *Pool) Reserve(tenant uuid.UUID) (release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full(tenant) {
		return nil, ErrBusy
	}
	p.taken[tenant]++
	p.total++
	return sync.OnceFunc(func() { p.free(tenant) }), nil
}

// Full reports whether Reserve would refuse a tenant now, so that a flood can be shed before it costs anything.
func (p *Pool) Full(tenant uuid.UUID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.full(tenant)
}

func (p *Pool) full(tenant uuid.UUID) bool { return p.taken[tenant] >= p.places-p.total }

func (p *Pool) free(tenant uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.taken[tenant]--; p.taken[tenant] == 0 {
		delete(p.taken, tenant)
	}
}

// Hash returns the PHC string of secret under Standing costs and a fresh salt. keyID is written into it: the id of the
// key that the caller peppered the secret with, or empty. The error is the context's, when no permit came in time.
func (p *Pool) Hash(ctx context.Context, secret []byte, keyID string) (string, error) {
	h := phc{params: Standing, keyID: keyID, salt: make([]byte, saltBytes)}
	rand.Read(h.salt)
	var err error
	if h.sum, err = p.derive(ctx, secret, h.salt, h.params, sumBytes); err != nil {
		return "", err
	}
	return h.String(), nil
}

// Matches reports whether stored is the hash of secret, in constant time. The error is ErrPHC, or the context's when no
// permit came in time.
func (p *Pool) Matches(ctx context.Context, secret []byte, stored string) (bool, error) {
	h, err := parsePHC(stored)
	if err != nil {
		return false, err
	}
	sum, err := p.derive(ctx, secret, h.salt, h.params, len(h.sum))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, h.sum) == 1, nil
}

func (p *Pool) derive(ctx context.Context, secret, salt []byte, costs Params, size int) ([]byte, error) {
	select {
	case p.permits <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a hashing permit: %w", ctx.Err())
	}
	defer func() { <-p.permits }()
	return argon2.IDKey(secret, salt, costs.Passes, costs.MemoryKiB, costs.Threads, uint32(size)), nil
}
