package pin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/slowhash"
)

// Authority is by whose right a PIN is changed.
type Authority struct {
	admin bool
	proof *proof
}

var (
	// ByAgent: with a proxy key. A lock or deactivation forbids it, and the budget stays as it is.
	ByAgent = Authority{}
	// BySelf: the customer, who has just signed in. All is as for an agent: who stole a sign-in opens no lock with it.
	BySelf = Authority{}
	// ByAdmin: through pin-admin. Setting a PIN renews the budget.
	ByAdmin = Authority{admin: true}
)

// Enroller sets, removes and unlocks PINs.
type Enroller struct {
	db     *sqlx.DB
	hasher hasher
}

// NewEnroller wires an Enroller.
func NewEnroller(db *sqlx.DB, ring *keyring.Ring, pool *slowhash.Pool) *Enroller {
	return &Enroller{db, hasher{ring, pool}}
}

// statusColumns are Status's, for a row h of pin_holders.
const statusColumns = `h.pin_set_at as created_at, h.verifier is not null as has_pin,
	h.verifier is not null and h.deactivated_by is null as is_active,
	coalesce(h.locked_until > now() and h.deactivated_by is null, false) as is_locked,
	case when h.locked_until > now() and h.deactivated_by is null then h.locked_until end as locked_until`

// Status returns the state of a holder's own PIN; of a holder that never had one, the zero Status.
func (e *Enroller) Status(ctx context.Context, h Holder) (Status, error) {
	var status Status
	err := e.db.GetContext(ctx, &status, `select `+statusColumns+` from pin_holders h where h.holder_id = $1`, h.ID())
	if errors.Is(err, sql.ErrNoRows) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("reading a PIN's status: %w", err)
	}
	return status, nil
}

// Set gives a holder a PIN, in the place of the one it may have. Sessions that rest on the old one are dead, and verdicts
// about it that are still under way are lost. tenant is the instance that the hashing is accounted to.
//
// Where an instance on which the PIN applies demands it (kyc_required), only an admin gives one to who is not identified: the
// same statement sees the policy, the approval and the PIN.
//
// Errors: ErrWeak, slowhash.ErrBusy, ErrLocked and ErrUnidentified (not ByAdmin), ErrChanged when another PIN was proved,
// ErrGone when the holder was deleted meanwhile.
func (e *Enroller) Set(ctx context.Context, tenant uuid.UUID, h Holder, p PIN, by Authority) (Status, error) {
	if err := Check(p); err != nil {
		return Status{}, err
	}
	verifier, err := e.hasher.hash(ctx, tenant, h.ID(), p)
	if err != nil {
		return Status{}, err
	}
	const q = `
		insert into pin_holders as h (holder_id, customer_id, identity_id, verifier, generation, pin_set_at)
		select $1, who.customer_id, who.identity_id, $4, gen_random_uuid(), now()
		  from (select $2::uuid as customer_id, $3::uuid as identity_id) who
		 where ($5 or ` + identified + `) and (not $6 or $7 is not distinct from ` + applying + `)
		on conflict (holder_id) do update
		   set verifier = excluded.verifier, generation = excluded.generation, pin_set_at = excluded.pin_set_at,
		       session_generation = gen_random_uuid(),
		       window_start = case when $5 then h.charged else h.window_start end,
		       forgiven = case when $5 then h.charged else h.forgiven end,
		       locks = case when $5 then 0 else h.locks end,
		       locked_until = case when $5 then null else h.locked_until end,
		       deactivated_by = case when $5 then null else h.deactivated_by end
		 where ($5 or ` + unlocked + `) and (not $6 or h.generation is not distinct from $8)
		returning ` + statusColumns
	var status Status
	err = e.change(ctx, "pin.set", h, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &status, q, h.ID(), h.CustomerID, h.IdentityID, verifier, by.admin, by.proof != nil, by.proved().applying, by.proved().own)
		if errors.Is(err, sql.ErrNoRows) {
			return whyNot(ctx, tx, h)
		}
		return err
	})
	return status, err
}

// identified is the state of a holder, who, in which an agent may set a PIN: the customer's identity is verified, or no
// instance on which the PIN applies demands it. An identity's own applies on its instance, a customer's on each that the
// customer is within.
const identified = `(exists (select from kyc_approvals a where a.customer_id = who.customer_id)
		        or not exists (select from identities d join instances i on i.id = d.instance_id
		                        where d.customer_id = who.customer_id and d.id = coalesce(who.identity_id, d.id) and i.kyc_required)
		           and (who.identity_id is not null
		                or not exists (select from instances i where i.owner_customer_id = who.customer_id and i.kyc_required)))`

// applying is the generation of the PIN that applies to who.
const applying = `(select p.generation from pin_holders p
		             where p.holder_id in (who.customer_id, who.identity_id) and p.verifier is not null
		             order by p.identity_id nulls last limit 1)`

// whyNot names what kept somebody else than an admin from setting a PIN.
func whyNot(ctx context.Context, tx *sqlx.Tx, h Holder) error {
	const q = `
		select ` + identified + ` as identified,
		       exists (select from pin_holders h where h.holder_id = $3 and not (` + unlocked + `)) as locked
		  from (select $1::uuid as customer_id, $2::uuid as identity_id) who`
	var is struct{ Identified, Locked bool }
	err := tx.GetContext(ctx, &is, q, h.CustomerID, h.IdentityID, h.ID())
	switch {
	case err != nil:
		return err
	case !is.Identified:
		return ErrUnidentified
	case is.Locked:
		return ErrLocked
	}
	return ErrChanged
}

// unlocked is the state in which an agent may change a PIN.
const unlocked = budget.Allows

// Remove takes a holder's own PIN away; there need not be one. Lock and counts stay. It returns ErrLocked (not ByAdmin), or
// ErrChanged when another PIN was proved.
func (e *Enroller) Remove(ctx context.Context, h Holder, by Authority) error {
	const q = `
		with old as (
		    select h.verifier is not null as had_pin, $2 or ` + unlocked + ` as allowed,
		           not $3 or h.generation is not distinct from $4 as proved
		      from pin_holders h where h.holder_id = $1 for update
		), removed as (
		    update pin_holders h
		       set verifier = null, generation = null, pin_set_at = null, session_generation = gen_random_uuid()
		      from old
		     where h.holder_id = $1 and old.had_pin and old.allowed and old.proved
		)
		select had_pin, allowed, proved from old`
	return e.change(ctx, "pin.removed", h, func(tx *sqlx.Tx) error {
		var old struct {
			HadPIN  bool `db:"had_pin"`
			Allowed bool `db:"allowed"`
			Proved  bool `db:"proved"`
		}
		err := tx.GetContext(ctx, &old, q, h.ID(), by.admin, by.proof != nil, by.proved().own)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return errUnchanged
		case err != nil:
			return err
		case !old.Allowed:
			return ErrLocked
		case !old.HadPIN:
			return errUnchanged
		case !old.Proved:
			return ErrChanged
		}
		return nil
	})
}

// Unlock ends a lock and begins a new window of attempts. What makes the next lock longer stays, and so does the count of
// consecutive failures: a deactivated PIN stays so until it is set anew.
func (e *Enroller) Unlock(ctx context.Context, h Holder) (Status, error) {
	const q = `
		update pin_holders h set locked_until = null, window_start = h.charged
		 where h.holder_id = $1
		returning ` + statusColumns
	var status Status
	err := e.change(ctx, "pin.unlocked", h, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &status, q, h.ID())
		if errors.Is(err, sql.ErrNoRows) {
			status = Status{}
			return errUnchanged // never had a PIN: there is nothing to unlock
		}
		return err
	})
	return status, err
}

// errUnchanged ends a change that found nothing to do: no audit row, and no failure.
var errUnchanged = errors.New("nothing to change")

// change runs one change to a holder's row and records it in the audit trail, in one transaction.
func (e *Enroller) change(ctx context.Context, action string, h Holder, do func(*sqlx.Tx) error) error {
	err := audit.Change(ctx, e.db, func(tx *sqlx.Tx) (audit.Event, error) {
		return audit.Event{Action: action, CustomerID: audit.ID(h.CustomerID), IdentityID: h.IdentityID}, do(tx)
	})
	var pgErr *pq.Error
	switch {
	case err == nil, errors.Is(err, errUnchanged):
		return nil
	case errors.As(err, &pgErr) && pgErr.Code == "23503": // foreign_key_violation: the holder was deleted meanwhile
		return ErrGone
	}
	return fmt.Errorf("%s: %w", action, err)
}
