package pin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
)

var (
	errNotCharged = errors.New("the budget allows no further attempt")
	errLost       = errors.New("the outcome came too late, or the PIN was replaced meanwhile")
)

// attempt is one charged attempt, with the verifier at the moment of the charge.
type attempt struct {
	HolderID uuid.UUID `db:"holder_id"`
	Number   int64     `db:"number"`
	// ChargedAt selects the monthly partition of the attempt's row.
	ChargedAt  time.Time `db:"charged_at"`
	Verifier   string    `db:"verifier"`
	Generation uuid.UUID `db:"generation"`
	// LockedUntil and Deactivated are the lock and the deactivation that this charge wrote, if it was the last allowed attempt.
	LockedUntil *time.Time `db:"locked_until"`
	Deactivated bool       `db:"deactivated"`

	// approving is the approval that the attempt belongs to. It is nil for an attempt of an agent.
	approving *Approving
}

// chargeSQL also ends the sessions of the PIN if it writes a lock, and adds the lock's row to the audit trail. So a lock has
// its row even if the replica stops before it settles the attempt. testdata/charge.sql shows the complete statement.
const chargeSQL = `
	with charge as (` + chargeHolder + chargedColumns + `
	), ` + chargeRows + `
	select * from charge`

// The parts of a statement that charges: the update of the holder's row, what it returns, and the rows of the attempt and of a
// lock.
const (
	chargeHolder = `
	    update pin_holders h
	       set (` + budget.Marks + `, session_generation) = (
	           select ` + budget.Charged + `,
	                  case when fills or ends then gen_random_uuid() else h.session_generation end
	             from ` + budget.Next + `)
	     where h.holder_id = $1 and h.verifier is not null and ` + budget.Allows + ``
	chargedColumns = `
	    returning h.holder_id, h.charged as number, now() as charged_at, h.verifier, h.generation, h.locked_until,
	              h.deactivated_by is not null as deactivated`
	chargeRows = `attempt as (
	    insert into attempts (holder_id, number, charged_at, instance_id, request_id)
	    select holder_id, number, charged_at, $6, $7 from charge
	), lock as (
	    insert into audit (action, ` + audit.Columns + `)
	    select case when deactivated then 'pin.deactivated' else 'pin.locked' end, $8, $9, $10, $11, $12, $13, $14, $15, $16
	      from charge where locked_until is not null or deactivated
	)`
)

// charge charges one attempt at the PIN that applies, in a transaction of its own. It returns errNotCharged if the budget
// or the approval allows no further attempt, and the errors of budget.Charger.
func (v *Verifier) charge(ctx context.Context, r Resolved) (attempt, error) {
	c := caller.From(ctx)
	if c.Kind == caller.ProxyKey {
		c.ID = r.KeyID // before Resolve, only the text of the key was known
	}
	lock := audit.Event{CustomerID: r.CustomerID, IdentityID: r.IdentityID, InstanceID: audit.ID(r.InstanceID)}
	row, err := lock.Values(caller.NewContext(ctx, c))
	if err != nil {
		return attempt{}, err
	}
	var a attempt
	args := slices.Concat([]any{r.HolderID}, v.budget.Args(), []any{r.InstanceID, c.RequestID}, row)
	statement := v.chargeQ
	if r.approving != nil {
		statement, args = v.chargeTryQ, append(args, r.approving.ID)
	}
	err = v.charger.Charge(ctx, r.HolderID.UUID.String(), func(ctx context.Context) error {
		return statement.Get(ctx, v.db, &a, args...)
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && a.Number == noTry {
		return attempt{}, errNotCharged
	}
	if err != nil {
		return attempt{}, fmt.Errorf("charging an attempt: %w", err)
	}
	a.approving = r.approving
	return a, nil
}

// budgetState is a holder's budget after an attempt was settled.
type budgetState struct {
	At                time.Time  `db:"at"`
	Spent             int64      `db:"spent"`
	LockedUntil       *time.Time `db:"locked_until"`
	Deactivated       bool       `db:"deactivated"`
	SessionGeneration uuid.UUID  `db:"session_generation"`

	// tried is the state of the approval that the attempt belongs to. It is nil for an attempt of an agent.
	tried *Tried
}

const budgetColumns = `now() as at, h.charged - h.window_start as spent, h.session_generation, h.deactivated_by is not null as deactivated,
	              case when h.locked_until > now() and h.deactivated_by is null then h.locked_until end as locked_until`

// settleRightSQL settles a right attempt only if the PIN that it was compared with is still set, and only for a short time after
// its charge. So a replica that was stopped during a reset cannot undo later changes. testdata/settle_right.sql shows the
// complete statement.
const settleRightSQL = `
	with settled as (
	    update pin_holders h
	       set ` + budget.Forgiven + `
	     where h.holder_id = $1 and h.generation = $3
	       and exists (select from attempts a where a.holder_id = $1 and a.number = $2 and a.charged_at = $5 and a.outcome is null
	                      and a.charged_at > now() - $4::float8 * interval '1 second')
	    returning ` + budgetColumns + `
	), noted as (
	    update attempts set settled_at = now(), outcome = case when exists (select from settled) then 'right' else 'lost' end
	     where holder_id = $1 and number = $2 and charged_at = $5 and outcome is null
	)
	select * from settled`

// settleRight settles an attempt as right, or returns errLost.
func (v *Verifier) settleRight(ctx context.Context, a attempt) (budgetState, error) {
	if a.approving != nil {
		return v.settleApproving(ctx, a)
	}
	var after budgetState
	err := v.settleRightQ.Get(ctx, v.db, &after, a.HolderID, a.Number, a.Generation, settleTime.Seconds(), a.ChargedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return budgetState{}, errLost
	}
	if err != nil {
		return budgetState{}, fmt.Errorf("settling a right attempt: %w", err)
	}
	return after, nil
}

const settleWrongSQL = `
	update attempts set settled_at = now(), outcome = 'wrong'
	 where holder_id = $1 and number = $2 and charged_at = $3 and outcome is null`

// settleWrong settles an attempt as wrong. It changes no budget: a charged attempt counts as a failure from the start. The second
// wrong attempt for an approval denies it.
func (v *Verifier) settleWrong(ctx context.Context, a attempt) (after budgetState, err error) {
	err = stores.InTransaction(ctx, v.db, func(tx *sqlx.Tx) error {
		if a.approving != nil {
			if after.tried, err = a.approving.countWrong(ctx, tx); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, settleWrongSQL, a.HolderID, a.Number, a.ChargedAt); err != nil {
			return err
		}
		return tx.GetContext(ctx, &after, `select `+budgetColumns+` from pin_holders h where holder_id = $1`, a.HolderID)
	})
	if err != nil {
		return budgetState{}, fmt.Errorf("settling a wrong attempt: %w", err)
	}
	return after, nil
}

// renew stores a right PIN again, hashed with the current parameters and the current pepper, unless the PIN was replaced
// meanwhile. The PIN stays the same, so its generations do not change. It ignores errors: the next right PIN tries again.
func (v *Verifier) renew(ctx context.Context, place slowhash.Place, a attempt, p PIN) {
	const q = `update pin_holders set verifier = $3 where holder_id = $1 and generation = $2`
	if verifier, err := v.hasher.rehash(ctx, place, a.HolderID, p); err == nil {
		_, _ = v.db.ExecContext(ctx, q, a.HolderID, a.Generation, verifier)
	}
}
