// Package wakeup lets requests wait until a customer has a PIN. Every change is announced through Redis, and each replica
// wakes its requests that wait for that customer. Redis can lose an announcement. So each replica also runs one small query
// every few seconds, however many requests wait.
package wakeup

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/redis/go-redis/v9"
)

const (
	channel = "pin:set"
	// pollInterval is the time between two queries. If Redis loses an announcement, a request is woken after at most this time
	// plus the duration of the query, which together is less than 5 seconds.
	pollInterval = 4 * time.Second
)

// Board knows the requests of this replica that wait. They are woken only while Run runs.
type Board struct {
	redis redis.UniversalClient
	db    *sqlx.DB
	log   *slog.Logger
	// most is how many requests may wait for one customer.
	most int

	mu      sync.Mutex
	waiting map[uuid.UUID]map[*Waiter]struct{} // by customer
	closed  bool
	// left is signaled after a request left.
	left *sync.Cond
}

// NewBoard returns a board without requests. At most the given number of requests may wait for one customer.
func NewBoard(db *sqlx.DB, r redis.UniversalClient, log *slog.Logger, most int) *Board {
	b := &Board{redis: r, db: db, log: log, most: most, waiting: map[uuid.UUID]map[*Waiter]struct{}{}}
	b.left = sync.NewCond(&b.mu)
	return b
}

// Announce tells all replicas that a customer's PIN was set. If Redis is unreachable, the next query finds the PIN.
func (b *Board) Announce(ctx context.Context, customer uuid.UUID) {
	_ = b.redis.Publish(ctx, channel, customer.String()).Err()
}

// IsSet reports whether a customer has a PIN.
func (b *Board) IsSet(ctx context.Context, customer uuid.UUID) (set bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	const q = `select exists (select from pin_holders where holder_id = $1 and verifier is not null)`
	if err := b.db.GetContext(ctx, &set, q, customer); err != nil {
		return false, fmt.Errorf("reading whether a PIN is set: %w", err)
	}
	return set, nil
}

// Run wakes requests until ctx ends. Then it ends the wait of all requests, and returns when all have been answered.
func (b *Board) Run(ctx context.Context) {
	defer b.close()
	subscription := b.redis.Subscribe(ctx, channel)
	defer subscription.Close()
	announcements := subscription.Channel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var burst burst
	for {
		var err error
		select {
		case announcement := <-announcements:
			err = b.check(ctx, announcement.Payload)
		case <-ticker.C:
			err = b.poll(ctx)
			burst.releaseMemory(b.Waiting())
		case <-ctx.Done():
			return
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("waking requests that wait for a PIN failed", "error", err.Error())
		}
	}
}

// check wakes the requests that wait for an announced customer, if Postgres says that the PIN is set. It runs one query,
// however many requests wait.
func (b *Board) check(ctx context.Context, announced string) error {
	customer, err := uuid.Parse(announced)
	if err != nil || !b.waitsFor(customer) {
		return nil
	}
	set, err := b.IsSet(ctx, customer)
	if set {
		b.wake(customer)
	}
	return err
}

// poll wakes the requests that wait for a PIN that was set recently. It covers more time than one interval, because a PIN
// becomes visible only when the transaction that set it commits.
func (b *Board) poll(ctx context.Context) error {
	if b.Waiting() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	const q = `select holder_id from pin_holders
		where pin_set_at > now() - interval '20 seconds' and identity_id is null`
	var recent []uuid.UUID
	if err := b.db.SelectContext(ctx, &recent, q); err != nil {
		return fmt.Errorf("reading the PINs that were set recently: %w", err)
	}
	for _, customer := range recent {
		b.wake(customer)
	}
	return nil
}

func (b *Board) wake(customer uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.waiting[customer] {
		w.wake(true)
	}
}

func (b *Board) waitsFor(customer uuid.UUID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting[customer]) > 0
}

// Waiting returns how many requests wait.
func (b *Board) Waiting() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, requests := range b.waiting {
		n += len(requests)
	}
	return n
}

// close ends every wait, and returns when all requests have left.
func (b *Board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, requests := range b.waiting {
		for w := range requests {
			w.wake(false)
		}
	}
	for len(b.waiting) > 0 {
		b.left.Wait()
	}
}

// burst detects when a burst has ended. A burst begins when more than 1000 requests arrive between two queries.
type burst struct {
	waiting int
	active  bool
}

// releaseMemory returns memory to the operating system when a burst has ended. The arrivals needed more memory than the
// waiting requests do, and while they wait nothing starts the garbage collector.
func (s *burst) releaseMemory(waiting int) {
	arrived := waiting - s.waiting
	s.waiting = waiting
	switch {
	case arrived > 1000:
		s.active = true
	case s.active && arrived < 100:
		s.active = false
		debug.FreeOSMemory()
	}
}
