package budget

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/stores"
)

// Errors of a charge. After ErrNotCharged and ErrPaused, nothing was charged. After ErrUnknown, the attempt may have been
// charged, and nothing was compared.
var (
	ErrNotCharged = fault.New(fault.Unavailable, "not_charged", "The database is busy. Nothing was charged, try again").RetryAfter(time.Second)
	ErrPaused     = fault.New(fault.Unavailable, "charging_paused", "The database does not confirm writes at the moment. Nothing was charged").RetryAfter(5 * time.Second)
	ErrUnknown    = fault.New(fault.Unavailable, "outcome_unknown",
		"The outcome is unknown: the attempt may have been charged. Do not repeat it by program").RetryAfter(10 * time.Second)
)

// WithoutOutcome returns the error for an attempt that is charged but has no verdict. If a store failed, it is ErrUnknown, so that
// the attempt is not repeated by a program.
func WithoutOutcome(err error) error {
	if stores.Unavailable(err) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

// Charger sends the charges of a process to Postgres. A process has one Charger for each pool of connections.
//
// It sends one charge of a row to Postgres at a time. Other charges of this row wait in the process, not on connections, so a
// locked row takes no connections from other people. When the budget allows no further attempt, all waiting charges are refused
// at once, so a storm of guesses at one row sends few more charges to Postgres than the budget allows.
//
// It pauses after a charge whose outcome is unknown, for example because a synchronous standby does not answer. Then it allows
// the next charge only after a probe: a small write that Postgres has confirmed. So a person who repeats a right PIN does not
// lose one attempt after another.
type Charger struct {
	db *sqlx.DB

	// unknown is the number of charges with an unknown outcome. covered is the part of them that were before the last confirmed
	// probe. Charging is paused while they differ.
	unknown, covered atomic.Int64
	probing          sync.Mutex

	mu     sync.Mutex
	queues map[string]*queue
}

// NewCharger returns a Charger that is not paused.
func NewCharger(db *sqlx.DB) *Charger { return &Charger{db: db, queues: map[string]*queue{}} }

// Charge runs a statement that charges the row of this name, in a transaction of its own. It returns ErrNotCharged, ErrPaused or
// ErrUnknown, or the error of the statement if it is none of the store's: sql.ErrNoRows means that the budget allows no attempt.
func (c *Charger) Charge(ctx context.Context, row string, statement func(context.Context) error) error {
	q, refused := c.join(row)
	defer c.leave(row, q)
	if err := q.wait(ctx, refused); err != nil {
		return err
	}
	defer func() { <-q.turn }()
	if err := c.probe(ctx); err != nil {
		return err
	}
	err := statement(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		c.refuseWaiting(q)
		return err
	case err == nil:
		return nil
	case !stores.ChangedNothing(err):
		c.unknown.Add(1)
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case stores.Unavailable(err):
		return fmt.Errorf("%w: %w", ErrNotCharged, err)
	}
	return err
}

// queue is the charges of one row. The Charger's mutex guards length and refused.
type queue struct {
	turn chan struct{}
	// length is the number of charges that wait or run.
	length int
	// refused is closed when the budget allows no further attempt.
	refused chan struct{}
}

// join returns the queue of a row, and a channel that is closed when the charges that wait now are refused. The caller must call
// leave.
func (c *Charger) join(row string) (*queue, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[row]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1), refused: make(chan struct{})}
		c.queues[row] = q
	}
	q.length++
	return q, q.refused
}

func (c *Charger) leave(row string, q *queue) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.length--; q.length == 0 {
		delete(c.queues, row)
	}
}

// wait waits for the caller's turn, for as long as Postgres waits for a row lock. It returns sql.ErrNoRows if the budget allowed
// no attempt to an earlier charge meanwhile. After the turn, the caller must receive from q.turn.
func (q *queue) wait(ctx context.Context, refused <-chan struct{}) error {
	timeout := time.NewTimer(stores.LockTimeout)
	defer timeout.Stop()
	select {
	case q.turn <- struct{}{}:
		select {
		case <-refused: // at the same moment
			<-q.turn
			return sql.ErrNoRows
		default:
			return nil
		}
	case <-refused:
		return sql.ErrNoRows
	case <-timeout.C:
	case <-ctx.Done():
	}
	return ErrNotCharged
}

// refuseWaiting refuses all charges that wait now.
func (c *Charger) refuseWaiting(q *queue) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(q.refused)
	q.refused = make(chan struct{})
}

// probeTime is the time within which a probe must be confirmed. It is shorter than stores.AnswerTimeout. When it is over,
// lib/pq cancels the probe, so that a probe that waits for a standby occupies no connection of Postgres.
const probeTime = 3 * time.Second

// probe returns nil if charging is not paused, or if a probe is confirmed now. While another charge probes, it returns ErrPaused.
func (c *Charger) probe(ctx context.Context) error {
	if c.covered.Load() == c.unknown.Load() {
		return nil
	}
	if !c.probing.TryLock() {
		return ErrPaused
	}
	defer c.probing.Unlock()
	before := c.unknown.Load()
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	const q = `insert into commit_probes (role) values (current_user) on conflict (role) do update set at = now()`
	if _, err := c.db.ExecContext(ctx, q); err != nil {
		return fmt.Errorf("%w: %w", ErrPaused, err)
	}
	c.covered.Store(before)
	if c.unknown.Load() != before {
		return ErrPaused // the outcome of another charge became unknown after the probe began
	}
	return nil
}
