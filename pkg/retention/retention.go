// Package retention deletes rows that are older than their retention period. It has the rules for all tables that grow. Each
// service applies the rules of the tables that its role may prune.
// The periods and their reasons: docs/operate.md, section "What is kept, and for how long".
package retention

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/stores"
)

const (
	every = time.Minute
	// ruleTime limits the work for one rule in one run, and batchTime one statement. The next run continues the work.
	ruleTime  = 30 * time.Second
	batchTime = 5 * time.Second
	// batchSize limits the rows that one statement deletes, so that it never holds locks for long.
	batchSize = 1000
)

// Pruner applies rules.
type Pruner struct {
	db    *sqlx.DB
	log   *slog.Logger
	rules []*applied
}

// applied is a rule, and the Unix time in nanoseconds at which a run last left no old row.
type applied struct {
	Rule
	completed atomic.Int64
}

// New returns a Pruner and registers its metric.
func New(db *sqlx.DB, registry prometheus.Registerer, log *slog.Logger, rules []Rule) *Pruner {
	p := &Pruner{db: db, log: log}
	for _, rule := range rules {
		r := &applied{Rule: rule}
		r.completed.Store(time.Now().UnixNano())
		p.rules = append(p.rules, r)
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "retention_overdue_seconds", Help: "Time since this process last saw that a table has no old row.",
			ConstLabels: prometheus.Labels{"rule": rule.Name},
		}, func() float64 { return time.Since(time.Unix(0, r.completed.Load())).Seconds() }))
	}
	return p
}

// Run applies every rule once a minute until ctx ends.
func (p *Pruner) Run(ctx context.Context) {
	for {
		for _, r := range p.rules {
			done, err := r.Apply(ctx, p.db)
			if err != nil && ctx.Err() == nil {
				p.log.Warn("deleting old rows failed", "rule", r.Name, "error", err.Error())
			}
			if done {
				r.completed.Store(time.Now().UnixNano())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// Apply deletes the old rows of one rule. done is false if there may be more of them: the time was over, or another replica
// applies the rule now.
func (r Rule) Apply(ctx context.Context, db *sqlx.DB) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, ruleTime)
	defer cancel()
	for {
		deleted, locked, err := r.batch(ctx, db)
		if err != nil {
			return false, fmt.Errorf("applying the rule %s: %w", r.Name, err)
		}
		if !locked || deleted < batchSize {
			return locked, nil
		}
	}
}

// batch deletes up to batchSize rows. A lock in Postgres lets one replica at a time apply the rule: locked is false if another
// replica has it.
func (r Rule) batch(ctx context.Context, db *sqlx.DB) (deleted int64, locked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	err = stores.InTransaction(ctx, db, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &locked, `select pg_try_advisory_xact_lock($1)`, r.lock()); err != nil || !locked {
			return err
		}
		statement, args := r.statement()
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		deleted, err = result.RowsAffected()
		return err
	})
	if r.prune != "" {
		deleted = 0 // the function has dropped all old partitions
	}
	return deleted, locked, err
}

// statement returns the statement of one batch. The condition is there twice: the inner one selects the rows. The outer one
// keeps a row that another transaction changes at the same time, because older minor releases of Postgres do not compare
// the ctid again after they have waited for that transaction.
func (r Rule) statement() (string, []any) {
	if r.prune != "" {
		return `select ` + r.prune + `(nullif($1::float8, 0) * interval '1 second')`, []any{r.Period.Seconds()}
	}
	return `delete from ` + r.table + ` where ` + r.old + ` and ctid = any (array(select ctid from ` + r.table + ` where ` + r.old + ` limit $2))`,
		[]any{r.Period.Seconds(), batchSize}
}

// lock is the number of the rule's advisory lock.
func (r Rule) lock() int64 {
	h := fnv.New64a()
	h.Write([]byte("retention " + r.Name))
	return int64(h.Sum64())
}
