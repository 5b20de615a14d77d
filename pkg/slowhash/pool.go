// Package slowhash hashes secrets of low entropy (PINs, passwords) with Argon2id (RFC 9106). A Pool limits the hashing of one
// process in two ways:
//   - A permit lets one hash run. There is one permit for each core: more hashes would only share the cores, and each hash
//     needs 19 MiB.
//   - A place lets one request hash, or wait for a permit. The number of places limits the queue: a longer queue serves no
//     more requests and makes each of them wait longer.
//
// A caller reserves a place before it charges an attempt. It holds a permit only while a hash runs.
// The design: docs/architecture.md, section 12.
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

// ErrBusy means that the tenant can get no place now.
var ErrBusy = fault.New(fault.Unavailable, "overloaded", "Too many verifications at once, try again shortly").RetryAfter(time.Second)

// Pool limits the hashing of one process.
type Pool struct {
	permits chan struct{}
	places  int

	mu    sync.Mutex
	taken map[uuid.UUID]int
	total int
}

// NewPool returns a pool that runs permits hashes at a time (use 1 for each core) and has places for requests that hash or
// wait. A pool has at least 2*permits places.
func NewPool(permits, places int) *Pool {
	return &Pool{permits: make(chan struct{}, permits), places: max(places, 2*permits), taken: map[uuid.UUID]int{}}
}

// RaiseGOMAXPROCS raises GOMAXPROCS by permits, so that hashing goroutines do not occupy all threads of the Go scheduler. The
// kernel then shares the cores, and it prefers a thread that wakes up to answer a request. On one overloaded machine, refusals
// took 400 ms without this call and 120 ms with it (TestOverload in deploy/tests/attack). A program calls RaiseGOMAXPROCS once.
func RaiseGOMAXPROCS(permits int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + permits) }

// Place is a reserved place in a Pool. The caller of Reserve must release it.
type Place struct {
	pool    *Pool
	release func()
}

// Release returns the place to the pool. A second call does nothing.
func (p Place) Release() { p.release() }

// Reserve takes a place for a tenant, or returns ErrBusy. A tenant gets a place while it holds fewer places than are free. So
// n tenants with constant load get 1/(n+1) of the places each, and the next tenant still finds a place. No list of tenants is
// needed (dynamic thresholds, Choudhury and Hahne, 1998).
func (p *Pool) Reserve(tenant uuid.UUID) (Place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full(tenant) {
		return Place{}, ErrBusy
	}
	p.taken[tenant]++
	p.total++
	return Place{p, sync.OnceFunc(func() { p.free(tenant) })}, nil
}

// Full reports whether Reserve would refuse a tenant now. Call it before any other work for a request.
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

// Hash reserves a place for a tenant and hashes a secret as Place.Hash does. It can also return ErrBusy.
func (p *Pool) Hash(ctx context.Context, tenant uuid.UUID, secret []byte, keyID string) (string, error) {
	place, err := p.Reserve(tenant)
	if err != nil {
		return "", err
	}
	defer place.Release()
	return place.Hash(ctx, secret, keyID)
}

// Hash returns the PHC string of secret, with CurrentParams and a new salt. keyID is the id of the key that the caller
// peppered the secret with, or empty; the PHC string contains it. Hash returns the context's error when the context ends
// before a permit is free.
func (p Place) Hash(ctx context.Context, secret []byte, keyID string) (string, error) {
	h := phc{params: CurrentParams, keyID: keyID, salt: make([]byte, saltBytes)}
	rand.Read(h.salt)
	var err error
	if h.sum, err = p.pool.derive(ctx, secret, h.salt, h.params, sumBytes); err != nil {
		return "", err
	}
	return h.String(), nil
}

// HashLike returns the PHC string of secret, with the parameters, the salt and the key id of a stored hash. So one hash of a
// candidate can be compared with several stored hashes. It returns the errors of Matches.
func (p Place) HashLike(ctx context.Context, secret []byte, stored string) (string, error) {
	h, err := parsePHC(stored)
	if err != nil {
		return "", err
	}
	if h.sum, err = p.pool.derive(ctx, secret, h.salt, h.params, len(h.sum)); err != nil {
		return "", err
	}
	return h.String(), nil
}

// Matches reports whether stored is the hash of secret. It compares in constant time. It returns ErrPHC, or the context's
// error when the context ends before a permit is free.
func (p Place) Matches(ctx context.Context, secret []byte, stored string) (bool, error) {
	hash, err := p.HashLike(ctx, secret, stored)
	if err != nil {
		return false, err
	}
	return Equal(hash, stored), nil
}

// Equal reports in constant time whether two PHC strings are equal.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (p *Pool) derive(ctx context.Context, secret, salt []byte, params Params, size int) ([]byte, error) {
	select {
	case p.permits <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a hashing permit: %w", ctx.Err())
	}
	defer func() { <-p.permits }()
	return argon2.IDKey(secret, salt, params.Passes, params.MemoryKiB, params.Threads, uint32(size)), nil
}
