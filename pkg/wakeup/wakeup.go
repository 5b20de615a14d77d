// Package wakeup lets requests wait until something has happened, for example until a customer has a PIN. Every change is announced
// through Redis, and each replica wakes its requests that wait for the changed thing. Redis can lose an announcement. So each
// replica also runs one small query every few seconds, however many requests wait.
package wakeup

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// pollInterval is the time between two queries. If Redis loses an announcement, a request is woken after at most this time plus the
// duration of the query, which together is less than 5 seconds.
const pollInterval = 4 * time.Second

// Source says what the requests of a board wait for. Each wait is for one thing, which has an id.
type Source struct {
	// Channel is the channel of Redis whose messages are the ids of changed things.
	Channel string
	// Ended reports whether Postgres says that the wait for a thing is over.
	Ended func(ctx context.Context, id uuid.UUID) (bool, error)
	// EndedAmong returns the things among those with these ids for which the wait is over. It may leave out a thing whose wait was
	// over before the last call, and it may return other ids.
	EndedAmong func(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error)
}

// Limits are how many requests may wait at one replica. 0: no limit.
type Limits struct{ PerID, PerGroup int }

// Board knows the requests of this replica that wait. They are woken only while Run runs.
type Board struct {
	redis  redis.UniversalClient
	log    *slog.Logger
	source Source
	limits Limits

	mu      sync.Mutex
	waiting map[uuid.UUID]map[*Waiter]struct{} // by the id of the thing
	groups  map[uuid.UUID]int                  // number of waiting requests of each group
	closed  bool
	// left is signaled after a request left.
	left *sync.Cond
}

// NewBoard returns a board without requests.
func NewBoard(r redis.UniversalClient, log *slog.Logger, source Source, limits Limits) *Board {
	b := &Board{redis: r, log: log, source: source, limits: limits, waiting: map[uuid.UUID]map[*Waiter]struct{}{}, groups: map[uuid.UUID]int{}}
	b.left = sync.NewCond(&b.mu)
	return b
}

// Announce tells all replicas that a thing has changed. If Redis is unreachable, the next query finds the change.
func (b *Board) Announce(ctx context.Context, id uuid.UUID) {
	Announce(ctx, b.redis, b.source.Channel, id)
}

// Announce does the same as Board.Announce, for a service that has no board for this channel.
func Announce(ctx context.Context, r redis.UniversalClient, channel string, id uuid.UUID) {
	_ = r.Publish(ctx, channel, id.String()).Err()
}

// Ended reports whether the wait for a thing is over.
func (b *Board) Ended(ctx context.Context, id uuid.UUID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	return b.source.Ended(ctx, id)
}

// Run wakes requests until ctx ends. Then it ends the wait of all requests, and returns when all have been answered.
func (b *Board) Run(ctx context.Context) {
	defer b.close()
	subscription := b.redis.Subscribe(ctx, b.source.Channel)
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
			b.log.Warn("waking requests that wait failed", "channel", b.source.Channel, "error", err.Error())
		}
	}
}

// check wakes the requests that wait for an announced thing, if Postgres says that the wait is over. It runs one query, however
// many requests wait.
func (b *Board) check(ctx context.Context, announced string) error {
	id, err := uuid.Parse(announced)
	if err != nil || !b.waitsFor(id) {
		return nil
	}
	ended, err := b.Ended(ctx, id)
	if ended {
		b.wake(id)
	}
	return err
}

// poll wakes the requests whose wait is over.
func (b *Board) poll(ctx context.Context) error {
	ids := b.ids()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	ended, err := b.source.EndedAmong(ctx, ids)
	for _, id := range ended {
		b.wake(id)
	}
	return err
}

func (b *Board) wake(id uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.waiting[id] {
		w.wake(true)
	}
}

func (b *Board) waitsFor(id uuid.UUID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting[id]) > 0
}

func (b *Board) ids() (ids []uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.waiting {
		ids = append(ids, id)
	}
	return ids
}

// Waiting returns how many requests wait. A request that has joined and still reads from Postgres does not count.
func (b *Board) Waiting() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, requests := range b.waiting {
		for w := range requests {
			if w.conn != nil {
				n++
			}
		}
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
