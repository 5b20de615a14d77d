package approval

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
)

// overSQL selects approvals that are over, with the status that must be written. It locks no row: a row that it has waited for
// would be joined with an old row of the PIN. It is the body of the common table expression "over" of endSQL.
const overSQL = `
	    select a.id, a.status as old_status, a.expires_at, a.tries, ` + statusNow + ` as status, ` + reasonNow + ` as reason
	      from ` + from + `
	     where a.status in ('pending', 'approved') and (` + timeOver + ` or ` + pinChanged + ` or ` + triesLost + `)`

// endSQL writes what overSQL has selected. A row that another transaction has changed since then keeps what that transaction wrote.
const endSQL = `
	    update approvals a
	       set status = e.status, reason = e.reason, decided_at = case when e.status = 'denied' then now() else a.decided_at end
	      from over e
	     where a.id = e.id and a.status = e.old_status and a.expires_at = e.expires_at and a.tries = e.tries`

// ended are the columns of the changed rows that recordEndedSQL reads.
const ended = ` returning a.id, a.instance_id, a.customer_id, a.identity_id, a.skill, a.kind, a.status, a.reason`

// recordEndedSQL adds a row to the audit trail for each row of ended, which is the result of endSQL. The actor is anonymous,
// because no caller did it.
const recordEndedSQL = `
	    insert into audit (action, ` + audit.Columns + `)
	    select 'approval.' || e.status, 'anonymous', null::uuid, e.customer_id, e.identity_id, e.instance_id, e.id, '', '',
	           jsonb_strip_nulls(jsonb_build_object('skill', e.skill, 'grants', e.kind, 'reason', e.reason)) from ended e`

// sweepSQL ends up to $1 approvals. It waits for no other transaction: replicas that run it at the same time end different
// approvals.
const sweepSQL = `
	with over as materialized (` + overSQL + ` order by a.expires_at limit $1
	), free as materialized (
	    select a.id from approvals a where a.id in (select o.id from over o) for no key update skip locked
	), ended as (` + endSQL + ` and a.id in (select f.id from free f)` + ended + `
	), recorded as (` + recordEndedSQL + `
	)
	select count(*) from ended`

// endOf ends the approvals of a customer at an instance that are over. If it meets another replica that does the same, Postgres may
// end one of the two; that request is answered 503 and can be repeated.
func endOf(ctx context.Context, db *sqlx.DB, customer, instance uuid.UUID) error {
	const q = `
		with over as materialized (` + overSQL + ` and a.customer_id = $1 and a.instance_id = $2
		), ended as (` + endSQL + ended + `
		), recorded as (` + recordEndedSQL + `
		)
		select count(*) from ended`
	var n int
	if err := db.GetContext(ctx, &n, q, customer, instance); err != nil {
		return fmt.Errorf("ending the approvals of a customer: %w", err)
	}
	return nil
}

const (
	sweepInterval = 5 * time.Second
	// batchSize limits the rows that one statement changes, so that it never holds locks for long.
	batchSize = 500
)

// Sweeper writes the status of approvals that are over: those that nobody answered or used in time, whose PIN was changed after the
// approval, or whose last try was lost. Every query computes this status, so nothing depends on when it is written.
type Sweeper struct {
	DB  *sqlx.DB
	Log *slog.Logger
}

// Run sweeps every few seconds until ctx ends.
func (s Sweeper) Run(ctx context.Context) {
	for {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("writing expired approvals failed", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepInterval):
		}
	}
}

// Sweep writes the status of all approvals that are over now, in batches, and returns how many it wrote.
func (s Sweeper) Sweep(ctx context.Context) (total int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var n int
		if err := s.DB.GetContext(ctx, &n, sweepSQL, batchSize); err != nil {
			return total, fmt.Errorf("ending approvals: %w", err)
		}
		if total += n; n < batchSize {
			return total, nil
		}
	}
}
