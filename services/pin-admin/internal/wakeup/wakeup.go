// Package wakeup lets requests wait until a customer's PIN is set. Whoever sets one says so through Redis, and every
// replica wakes those of its requests that wait for it. A word that Redis lost is made good by a look, every few seconds,
// at what was set lately: one small query for each replica, however many wait.
package wakeup

import (
	"context"
	"fmt"
	"log/slog"
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
	waiting map[uuid.UUID]map[chan struct{}]struct{}
	closed  chan struct{}
}

// NewBoard returns an empty board.
func NewBoard(db *sqlx.DB, r redis.UniversalClient, log *slog.Logger) *Board {
	return &Board{redis: r, db: db, log: log, waiting: map[uuid.UUID]map[chan struct{}]struct{}{}, closed: make(chan struct{})}
}

// Announce says that a customer's PIN was set. It is advice: when Redis is away, the next look finds it.
func (b *Board) Announce(ctx context.Context, customer uuid.UUID) {
	_ = b.redis.Publish(ctx, channel, customer.String()).Err()
}

// Wait returns true as soon as the customer has a PIN; false means that the time ran out or that the service is stopping.
// The error is the database's, or the context's when the client went away.
func (b *Board) Wait(ctx context.Context, customer uuid.UUID, patience time.Duration) (bool, error) {
	// Registered before the first look, so that a PIN set between look and waiting is not missed.
	woken, leave := b.join(customer)
	defer leave()
	if set, err := b.isSet(ctx, customer); set || err != nil {
		return set, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-woken:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-b.closed:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (b *Board) isSet(ctx context.Context, customer uuid.UUID) (set bool, err error) {
	const q = `select exists (select from pin_holders where holder_id = $1 and verifier is not null)`
	if err := b.db.GetContext(ctx, &set, q, customer); err != nil {
		return false, fmt.Errorf("asking whether a PIN is set: %w", err)
	}
	return set, nil
}

func (b *Board) join(customer uuid.UUID) (woken chan struct{}, leave func()) {
	woken = make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting[customer] == nil {
		b.waiting[customer] = map[chan struct{}]struct{}{}
	}
	b.waiting[customer][woken] = struct{}{}
	return woken, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting[customer], woken)
		if len(b.waiting[customer]) == 0 {
			delete(b.waiting, customer)
		}
	}
}

// wake lets everybody go who waits for a customer's PIN, which is set.
func (b *Board) wake(customer uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for woken := range b.waiting[customer] {
		close(woken)
	}
	delete(b.waiting, customer)
}

// heard follows up a word about a customer. The word is a hint and Postgres the truth; it is asked once, however many wait.
func (b *Board) heard(ctx context.Context, word string) error {
	customer, err := uuid.Parse(word)
	if err != nil || !b.awaited(customer) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	set, err := b.isSet(ctx, customer)
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

// Run wakes requests until ctx ends, and then lets all of them go.
func (b *Board) Run(ctx context.Context) {
	defer close(b.closed)
	subscription := b.redis.Subscribe(ctx, channel)
	defer subscription.Close()
	words := subscription.Channel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		var err error
		select {
		case word := <-words:
			err = b.heard(ctx, word.Payload)
		case <-ticker.C:
			err = b.look(ctx)
		case <-ctx.Done():
			return
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("waking who waits for a PIN", "error", err.Error())
		}
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
