package pin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/stores"
)

// Errors of approving. After each of them, nothing was charged.
var (
	// ErrNoTry means that no PIN can be given for the approval now: it was decided, its time is over, or its two tries are taken.
	ErrNoTry = errors.New("the approval takes no PIN now")
	// ErrBrowserUnknown means that the instance demands a known browser.
	ErrBrowserUnknown = fault.New(fault.Conflict, "browser_unknown", "This browser is not known. Approve in a browser in which you gave your PIN before")
)

// Approving is an approval that a person approves with the PIN.
type Approving struct {
	// ID is the approval. Subject is the person who was asked.
	ID      uuid.UUID
	Subject Subject
	// Browser is the SHA-256 of the browser's cookie, or nil. It is compared only if the instance demands a known browser.
	Browser []byte
	// SignedIn is true if the customer is signed in. This counts as a known browser.
	SignedIn bool
	// UseWithin is the time for the use, from the approval.
	UseWithin time.Duration
}

// Tried is the state of an approval after a try: a PIN that was given for it.
type Tried struct {
	// Approved is true if this try approved the approval. A right PIN does not approve if a lock was written meanwhile, or if the
	// approval was decided or its time was over.
	Approved bool `db:"approved"`
	// Status and Reason (nil: none) are words of package approval. Tries is the number of tries that were taken, at most 2.
	Status string  `db:"status"`
	Reason *string `db:"reason"`
	Tries  int     `db:"tries"`
}

// Approve verifies the PIN that applies to the person who was asked, and approves with a right PIN. The attempt is charged within
// the guess budget, like each other attempt. The statement that charges it also takes one of the two tries of the approval.
//
// Errors: ErrNoTry, ErrBrowserUnknown, ErrNotWithin, and the errors of Verify after Resolve.
func (v *Verifier) Approve(ctx context.Context, approving Approving, candidate PIN) (Result, error) {
	resolve := func(ctx context.Context) (Resolved, error) {
		state, err := v.ResolveApproval(ctx, approving.ID, approving.Browser)
		switch {
		case err != nil:
			return Resolved{}, err
		case !state.TakesPIN:
			return Resolved{}, ErrNoTry
		case state.KnownBrowserRequired && !state.KnownBrowser && !approving.SignedIn:
			return Resolved{}, ErrBrowserUnknown
		}
		state.approving = &approving
		return state.Resolved, nil
	}
	return v.verify(ctx, approving.Subject.InstanceID, question{subject: approving.Subject}, resolve, candidate)
}

// ResolvedApproval is the state of an approval's subject at one moment. The fields of the key and the roles are empty.
type ResolvedApproval struct {
	Resolved
	// TakesPIN is true if a PIN can be given now.
	TakesPIN bool `db:"takes_pin"`
	// KnownBrowser is true if the PIN that applies was given in this browser before.
	KnownBrowser bool `db:"known_browser"`
	// KnownBrowserRequired is true if the instance demands a known browser.
	KnownBrowserRequired bool `db:"known_browser_required"`
}

// resolveApprovalSQL finds the subject as resolveSQL does. A browser is known for the PIN that was given in it, so its generation
// must be the generation of the PIN that applies.
const resolveApprovalSQL = `
	select a.status = 'pending' and a.expires_at > now() and a.tries < 2 as takes_pin,
	       b.browser_hash is not null as known_browser, i.approval_known_browser as known_browser_required, ` + resolvedColumns + `
	  from approvals a
	  join instances i on i.id = a.instance_id
	  join lateral (
	         select d.customer_id, d.id as identity_id
	           from identities d
	          where d.id = a.identity_id and d.instance_id = i.id and d.customer_id = a.customer_id
	          union all
	         select c.id, null
	           from customers c
	          where a.identity_id is null and c.id = a.customer_id
	            and (i.owner_customer_id = c.id
	                 or exists (select from identities d where d.customer_id = c.id and d.instance_id = i.id))
	       ) s on true
	  ` + applyingPIN + `
	  left join known_browsers b on b.browser_hash = $2 and b.holder_id = h.holder_id and b.generation = h.generation
	 where a.id = $1`

// ResolveApproval reads the state of the person whom an approval asks. browser is the SHA-256 of a browser's cookie, or nil. The
// error is ErrNotWithin if the approval was deleted, or if its subject is not within its instance any more.
func (v *Verifier) ResolveApproval(ctx context.Context, approval uuid.UUID, browser []byte) (ResolvedApproval, error) {
	var r ResolvedApproval
	err := v.db.GetContext(ctx, &r, resolveApprovalSQL, approval, browser)
	if errors.Is(err, sql.ErrNoRows) {
		return ResolvedApproval{}, ErrNotWithin
	}
	if err != nil {
		return ResolvedApproval{}, fmt.Errorf("resolving the PIN of an approval: %w", err)
	}
	return r, nil
}

// noTry is the number of an attempt that was not charged because the approval allows no try.
const noTry = 0

// chargeTrySQL is chargeSQL for an approval. It locks the approval's row first, then the holder's row. A lock shows the row as
// other transactions have left it, so parallel tries see each other. A try is taken only with a charge, and a charge is made only
// with a try. testdata/charge_try.sql shows the complete statement.
const chargeTrySQL = `
	with approval as materialized (
	    select a.id from approvals a
	     where a.id = $17 and a.status = 'pending' and a.expires_at > now() and a.tries < 2
	       for no key update
	), charge as (` + chargeHolder + ` and exists (select from approval)` + chargedColumns + `
	), try as (
	    update approvals set tries = tries + 1, tried_at = now() where id = $17 and exists (select from charge)
	), ` + chargeRows + `
	select * from charge
	 union all
	select $1, 0, now(), '', $1, null, false where not exists (select from approval)`

// approveSQL approves if the approval still waits for an answer. testdata/approve.sql shows the complete statement.
const approveSQL = `
	update approvals a
	   set status = 'approved', decided_at = now(), expires_at = now() + $4::float8 * interval '1 second',
	       holder_id = $2, session_generation = $3
	 where a.id = $1 and a.status = 'pending' and a.expires_at > now()
	returning true as approved, a.status, a.reason, a.tries`

// settleApproving settles an attempt as right and approves, in one transaction. If a later attempt wrote a lock, or the approval
// does not wait for an answer any more, the PIN counts as right, but the approval is not approved. Like settleRight, it returns
// errLost.
func (v *Verifier) settleApproving(ctx context.Context, a attempt) (after budgetState, err error) {
	lost := false
	err = stores.InTransaction(ctx, v.db, func(tx *sqlx.Tx) error {
		event, err := a.approving.lock(ctx, tx)
		if err != nil {
			return err
		}
		err = tx.GetContext(ctx, &after, settleRightSQL, a.HolderID, a.Number, a.Generation, settleTime.Seconds(), a.ChargedAt)
		if errors.Is(err, sql.ErrNoRows) {
			lost = true
			return nil // the attempt's row says that its outcome is lost
		}
		if err != nil {
			return err
		}
		var tried Tried
		err = sql.ErrNoRows
		if after.LockedUntil == nil && !after.Deactivated {
			err = tx.GetContext(ctx, &tried, approveSQL, a.approving.ID, a.HolderID, after.SessionGeneration, a.approving.UseWithin.Seconds())
		}
		if errors.Is(err, sql.ErrNoRows) {
			after.tried, err = a.approving.state(ctx, tx)
			return err
		}
		if err != nil {
			return err
		}
		after.tried = &tried
		event.Action = "approval.approved"
		return audit.Record(ctx, tx, event)
	})
	if err != nil {
		return budgetState{}, fmt.Errorf("settling a right attempt for an approval: %w", err)
	}
	if lost {
		return budgetState{}, errLost
	}
	return after, nil
}

// countWrongSQL counts a wrong try. The second one denies the approval. testdata/count_wrong.sql shows it.
const countWrongSQL = `
	update approvals a
	   set wrong = a.wrong + 1,
	       status = case when a.wrong + 1 >= 2 then 'denied' else a.status end,
	       reason = case when a.wrong + 1 >= 2 then 'wrong_pin' else a.reason end,
	       decided_at = case when a.wrong + 1 >= 2 then now() else a.decided_at end
	 where a.id = $1 and a.status = 'pending' and a.wrong < a.tries
	returning a.status`

// countWrong counts a wrong try in the transaction that settles the attempt, and returns the approval's state.
func (p *Approving) countWrong(ctx context.Context, tx *sqlx.Tx) (*Tried, error) {
	event, err := p.lock(ctx, tx)
	if err != nil {
		return nil, err
	}
	event.Action = "approval.wrong_pin"
	if err := audit.Record(ctx, tx, event); err != nil {
		return nil, err
	}
	var status string
	err = tx.GetContext(ctx, &status, countWrongSQL, p.ID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("counting a wrong try: %w", err)
	}
	if status == "denied" {
		event.Action, event.Details["reason"] = "approval.denied", "wrong_pin"
		if err := audit.Record(ctx, tx, event); err != nil {
			return nil, err
		}
	}
	return p.state(ctx, tx)
}

// lock locks the approval's row, and returns an event about it without an action. A transaction that changes an approval and a
// holder locks the approval first.
func (p *Approving) lock(ctx context.Context, tx *sqlx.Tx) (audit.Event, error) {
	const q = `select a.skill, a.kind from approvals a where a.id = $1 for no key update`
	var row struct{ Skill, Kind string }
	if err := tx.GetContext(ctx, &row, q, p.ID); err != nil && !errors.Is(err, sql.ErrNoRows) { // it may have been deleted
		return audit.Event{}, fmt.Errorf("locking an approval: %w", err)
	}
	return audit.Event{
		CustomerID: p.Subject.CustomerID, IdentityID: p.Subject.IdentityID, InstanceID: audit.ID(p.Subject.InstanceID),
		TargetID: audit.ID(p.ID), Details: map[string]any{"skill": row.Skill, "grants": row.Kind},
	}, nil
}

// state returns the state of an approval that the present transaction has locked and that this try did not approve.
func (p *Approving) state(ctx context.Context, tx *sqlx.Tx) (*Tried, error) {
	const q = `
		select false as approved, a.reason, a.tries,
		       case when a.status = 'pending' and a.expires_at <= now() then 'expired' else a.status end as status
		  from approvals a where a.id = $1`
	t := Tried{Status: "expired"} // an approval that was deleted
	if err := tx.GetContext(ctx, &t, q, p.ID); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("reading an approval after a try: %w", err)
	}
	return &t, nil
}
