// Package wakeup lets requests wait until a customer's PIN is set. Whoever sets one says so through Redis, and every
// replica wakes those of its requests that wait for it. A word that Redis lost is made good by a look, every few seconds,
// at what was set lately: one small query for each replica, however many wait.
package wakeup

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/redis/go-redis/v9"
)

const (
	channel = "pin:set"
	// lookEvery bounds how late a request is woken when Redis lost the word: together with the query, within 5 seconds.
	lookEvery = 4 * time.Second
)

// Board is where requests wait. Run must be running.
type Board struct {
	redis redis.UniversalClient
	db    *sqlx.DB
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[uuid.UUID]map[*Parked]struct{}
	closed  bool
	// watching are the goroutines that each watch one connection.
	watching sync.WaitGroup
}

// NewBoard returns an empty board.
func NewBoard(db *sqlx.DB, r redis.UniversalClient, log *slog.Logger) *Board {
	return &Board{redis: r, db: db, log: log, waiting: map[uuid.UUID]map[*Parked]struct{}{}}
}

// Announce says that a customer's PIN was set. It is advice: when Redis is away, the next look finds it.
func (b *Board) Announce(ctx context.Context, customer uuid.UUID) {
	_ = b.redis.Publish(ctx, channel, customer.String()).Err()
}

// IsSet reports whether a customer has a PIN.
func (b *Board) IsSet(ctx context.Context, customer uuid.UUID) (set bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	const q = `select exists (select from pin_holders where holder_id = $1 and verifier is not null)`
	if err := b.db.GetContext(ctx, &set, q, customer); err != nil {
		return false, fmt.Errorf("asking whether a PIN is set: %w", err)
	}
	return set, nil
}

// join lets a request wait, unless the board is closed.
func (b *Board) join(customer uuid.UUID, p *Parked) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if b.waiting[customer] == nil {
		b.waiting[customer] = map[*Parked]struct{}{}
	}
	b.waiting[customer][p] = struct{}{}
	b.watching.Go(func() {
		p.watch()
		b.leave(customer, p)
	})
	return true
}

func (b *Board) leave(customer uuid.UUID, p *Parked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting[customer], p)
	if len(b.waiting[customer]) == 0 {
		delete(b.waiting, customer)
	}
}

// wake answers everybody who waits for a customer's PIN, which is set.
func (b *Board) wake(customer uuid.UUID) {
	for _, p := range b.parked(customer) {
		p.end(Set)
	}
}

func (b *Board) parked(customer uuid.UUID) []*Parked {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.waiting[customer]))
}

// close answers everybody, and waits until the last connection is.
func (b *Board) close() {
	b.mu.Lock()
	b.closed = true
	customers := slices.Collect(maps.Keys(b.waiting))
	b.mu.Unlock()
	for _, customer := range customers {
		for _, p := range b.parked(customer) {
			p.end(Unset)
		}
	}
	b.watching.Wait()
}

// heard follows up a word about a customer. The word is a hint and Postgres the truth; it is asked once, however many wait.
func (b *Board) heard(ctx context.Context, word string) error {
	customer, err := uuid.Parse(word)
	if err != nil || !b.awaited(customer) {
		return nil
	}
	set, err := b.IsSet(ctx, customer)
	if set {
		b.wake(customer)
	}
	return err
}

func (b *Board) awaited(customer uuid.UUID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting[customer]) > 0
}

// Run wakes requests until ctx ends, and then answers all of them.
func (b *Board) Run(ctx context.Context) {
	defer b.close()
	subscription := b.redis.Subscribe(ctx, channel)
	defer subscription.Close()
	words := subscription.Channel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var arrivals arrivals
	for {
		var err error
		select {
		case word := <-words:
			err = b.heard(ctx, word.Payload)
		case <-ticker.C:
			err = b.look(ctx)
			arrivals.tidy(b.Waiting())
		case <-ctx.Done():
			return
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("waking who waits for a PIN", "error", err.Error())
		}
	}
}

// arrivals notices when many requests have come and no more do.
type arrivals struct {
	last int
	many bool
}

// tidy gives the memory back that the arrival of a thousand and more requests took, once they only wait: while nothing
// happens, no collection would come for it.
func (a *arrivals) tidy(waiting int) {
	grew := waiting - a.last
	a.last = waiting
	switch {
	case grew > 1000:
		a.many = true
	case a.many && grew < 100:
		a.many = false
		debug.FreeOSMemory()
	}
}

// look wakes who waits for a PIN that was set lately. It looks further back than to the last look, because what was set
// becomes visible only when its transaction ends.
func (b *Board) look(ctx context.Context) error {
	if b.Waiting() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	const q = `select holder_id from pin_holders 
		where pin_set_at > now() - interval '20 seconds' and identity_id is null`
	var lately []uuid.UUID
	if err := b.db.SelectContext(ctx, &lately, q); err != nil {
		return fmt.Errorf("asking what was set lately: %w", err)
	}
	for _, customer := range lately {
		b.wake(customer)
	}
	return nil
}

// Waiting is how many requests wait.
func (b *Board) Waiting() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, requests := range b.waiting {
		n += len(requests)
	}
	return n
}
