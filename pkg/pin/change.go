package pin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
)

// Errors of changing a PIN.
var (
	ErrGone         = fault.New(fault.NotFound, "holder_not_found", "Customer or identity not found")
	ErrLocked       = fault.New(fault.Conflict, "pin_locked", "The PIN is locked or deactivated")
	ErrUnidentified = fault.New(fault.Conflict, "kyc_required", "The customer's identity has to be verified before a PIN may be set (kyc_required)")
	ErrChanged      = fault.New(fault.Conflict, "pin_changed", "The PIN was changed meanwhile")
)

// ErrChangeUnknown means that the connection to Postgres was lost during a change of a PIN. It has the code of budget.ErrUnknown.
var ErrChangeUnknown = fault.New(fault.Unavailable, budget.ErrUnknown.Code,
	"The outcome is unknown: the PIN may have been changed. Ask for its state").RetryAfter(budget.ErrUnknown.After)

// Holder is the customer or the identity that a PIN and its guess budget belong to. It is an identity if IdentityID is given,
// else the customer.
type Holder struct {
	CustomerID uuid.UUID
	IdentityID uuid.NullUUID
}

// ID returns the identity's id or the customer's id.
func (h Holder) ID() uuid.UUID {
	if h.IdentityID.Valid {
		return h.IdentityID.UUID
	}
	return h.CustomerID
}

// Status is the state of a holder's own PIN. Times are by Postgres's clock.
type Status struct {
	CreatedAt   *time.Time `db:"created_at"`
	HasPIN      bool       `db:"has_pin"`
	IsActive    bool       `db:"is_active"`
	IsLocked    bool       `db:"is_locked"`
	LockedUntil *time.Time `db:"locked_until"`
}

// Store sets, removes and unlocks PINs.
type Store struct {
	db     *sqlx.DB
	locks  lockKeys
	hasher hasher
}

// NewStore returns a Store.
func NewStore(db *sqlx.DB, client redis.UniversalClient, keys *keyring.Ring, pool *slowhash.Pool) *Store {
	return &Store{db, lockKeys{client}, hasher{keys, pool}}
}

// statusColumns are the fields of Status, for a row h of pin_holders.
const statusColumns = `h.pin_set_at as created_at, h.verifier is not null as has_pin,
	h.verifier is not null and h.deactivated_by is null as is_active,
	coalesce(h.locked_until > now() and h.deactivated_by is null, false) as is_locked,
	case when h.locked_until > now() and h.deactivated_by is null then h.locked_until end as locked_until`

// Status returns the state of a holder's own PIN. If the holder never had a PIN, it returns the zero Status.
func (s *Store) Status(ctx context.Context, h Holder) (Status, error) {
	var status Status
	err := s.db.GetContext(ctx, &status, `select `+statusColumns+` from pin_holders h where h.holder_id = $1`, h.ID())
	if errors.Is(err, sql.ErrNoRows) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("reading a PIN's status: %w", err)
	}
	return status, nil
}

// Set sets a holder's PIN and replaces the old PIN. Sessions that are based on the old PIN end, and verifications of the old
// PIN that still run cannot be settled as right. tenant is the instance, the user or the group of admins whose place in the hashing
// pool is used.
//
// If an instance on which the PIN applies demands a verified identity (kyc_required), only an admin may set the PIN of a
// customer whose identity is not verified. The statement that sets the PIN checks this itself.
//
// Only an admin may set a PIN while the PIN that applies to the holder is locked or deactivated, because the new PIN of an
// identity applies instead of its customer's PIN. So the statement locks the rows of the customer and of the identity before it
// checks them, in this order: a charge that locks the PIN in parallel is either seen or waits.
//
// Errors: ErrWeak, slowhash.ErrBusy, ErrChanged if another PIN was proved, ErrGone if the holder was deleted meanwhile, and,
// unless the authority is an admin's, ErrLocked and ErrUnidentified.
func (s *Store) Set(ctx context.Context, tenant uuid.UUID, h Holder, p PIN, by Authority) (Status, error) {
	return s.SetWithin(ctx, tenant, h, p, by, func(_ *sqlx.Tx, set func() error) error { return set() })
}

// SetWithin is Set within a transaction in which more is done: do calls set once, and may do more before and after it. If do
// returns an error, nothing is changed, and SetWithin returns this error. do runs after the PIN was checked and hashed.
func (s *Store) SetWithin(ctx context.Context, tenant uuid.UUID, h Holder, p PIN, by Authority,
	do func(tx *sqlx.Tx, set func() error) error) (Status, error) {
	if err := Check(p); err != nil {
		return Status{}, err
	}
	verifier, err := s.hasher.hash(ctx, tenant, h.ID(), p)
	if err != nil {
		return Status{}, err
	}
	const q = `
		with held as materialized (
		    select ` + heldColumns + ` from pin_holders h
		     where not $5 and h.holder_id in ($2, $3) order by h.identity_id nulls first for no key update
		), ` + applying + `
		insert into pin_holders as h (holder_id, customer_id, identity_id, verifier, generation, pin_set_at)
		select $1, holder.customer_id, holder.identity_id, $4, gen_random_uuid(), now()
		  from (select $2::uuid as customer_id, $3::uuid as identity_id) holder
		 where ($5 or ` + identified + `) and ` + applyingUnlocked + `
		   and (not $6 or $7 is not distinct from (select generation from applying))
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
	err = s.change(ctx, "pin.set", h, func(tx *sqlx.Tx) error {
		return do(tx, func() error {
			err := tx.GetContext(ctx, &status, q, h.ID(), h.CustomerID, h.IdentityID, verifier,
				by.party == admin, by.proof.given, by.proof.applying, by.proof.own)
			if errors.Is(err, sql.ErrNoRows) {
				return whyRefused(ctx, tx, h)
			}
			return err
		})
	})
	return status, err
}

// unlocked is true for a holder's row h that an agent or a customer may change.
const unlocked = budget.Allows

// identified is true for a holder whose PIN an agent or a customer may set: the customer's identity is verified, or no
// instance on which the PIN applies demands that. An identity's own PIN applies on its instance. A customer's PIN applies on
// each instance that the customer is within.
const identified = `(exists (select from kyc_approvals a where a.customer_id = holder.customer_id)
		        or not exists (select from identities d join instances i on i.id = d.instance_id
		                        where d.customer_id = holder.customer_id and d.id = coalesce(holder.identity_id, d.id) and i.kyc_required)
		           and (holder.identity_id is not null
		                or not exists (select from instances i where i.owner_customer_id = holder.customer_id and i.kyc_required)))`

// applying is the PIN that applies to a holder, at most one row: the identity's own PIN if it has one, else the customer's PIN.
// It reads the rows held, which have the heldColumns.
const (
	heldColumns = `h.identity_id, h.verifier, h.generation, h.locked_until, h.deactivated_by`
	applying    = `applying as (
		    select h.generation, ` + unlocked + ` as unlocked from held h
		     where h.verifier is not null order by h.identity_id nulls last limit 1
		)`
	applyingUnlocked = `coalesce((select unlocked from applying), true)`
)

// whyRefused returns the reason why Set changed no row.
func whyRefused(ctx context.Context, tx *sqlx.Tx, h Holder) error {
	const q = `
		with held as (
		    select ` + heldColumns + ` from pin_holders h where h.holder_id in ($1, $2)
		), ` + applying + `
		select ` + identified + ` as identified,
		       not ` + applyingUnlocked + `
		       or exists (select from pin_holders h where h.holder_id = $3 and not (` + unlocked + `)) as locked
		  from (select $1::uuid as customer_id, $2::uuid as identity_id) holder`
	var state struct{ Identified, Locked bool }
	err := tx.GetContext(ctx, &state, q, h.CustomerID, h.IdentityID, h.ID())
	switch {
	case err != nil:
		return err
	case !state.Identified:
		return ErrUnidentified
	case state.Locked:
		return ErrLocked
	}
	return ErrChanged
}

// Remove removes a holder's own PIN. It does nothing if the holder has no PIN. The lock and the counts do not change. It returns
// ErrChanged if another PIN was proved, and, unless the authority is an admin's, ErrLocked. A PIN that is removed is the PIN that
// applied to its holder, so no other lock matters: a lock of the customer's PIN applies to the identity afterwards.
func (s *Store) Remove(ctx context.Context, h Holder, by Authority) error {
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
	return s.change(ctx, "pin.removed", h, func(tx *sqlx.Tx) error {
		var old struct {
			HadPIN  bool `db:"had_pin"`
			Allowed bool `db:"allowed"`
			Proved  bool `db:"proved"`
		}
		err := tx.GetContext(ctx, &old, q, h.ID(), by.party == admin, by.proof.given, by.proof.own)
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

// Unlock ends a lock and starts a new window of attempts. The doubling of locks and the number of consecutive failures stay. A
// deactivated PIN stays deactivated until it is set again.
func (s *Store) Unlock(ctx context.Context, h Holder) (Status, error) {
	const q = `
		update pin_holders h set locked_until = null, window_start = h.charged
		 where h.holder_id = $1
		returning ` + statusColumns
	var status Status
	err := s.change(ctx, "pin.unlocked", h, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &status, q, h.ID())
		if errors.Is(err, sql.ErrNoRows) {
			status = Status{}   // sqlx has set its pointers to zero times
			return errUnchanged // the holder never had a PIN
		}
		return err
	})
	return status, err
}

// ForgetRefusals makes every replica ask Postgres again about the locked PINs that apply on an instance. Call it after a change of
// the instance's policy that refuses more than a lock does. Replicas remember a refusal for two seconds.
func (s *Store) ForgetRefusals(ctx context.Context, instance uuid.UUID) error {
	const q = `
		select h.holder_id from pin_holders h
		 where (h.locked_until > now() or h.deactivated_by is not null)
		   and (exists (select from identities d where d.instance_id = $1 and h.holder_id in (d.id, d.customer_id))
		        or h.holder_id = (select i.owner_customer_id from instances i where i.id = $1))`
	var holders []uuid.UUID
	if err := s.db.SelectContext(ctx, &holders, q, instance); err != nil {
		return fmt.Errorf("reading the locked PINs of an instance: %w", err)
	}
	s.locks.lift(ctx, holders...)
	return nil
}

// errUnchanged ends a change that changed nothing, so that no audit row is written. It is not a failure.
var errUnchanged = errors.New("nothing to change")

// change makes one change to a holder's row, together with its audit row. Then no replica uses a remembered refusal.
func (s *Store) change(ctx context.Context, action string, h Holder, do func(*sqlx.Tx) error) error {
	err := audit.Change(ctx, s.db, func(tx *sqlx.Tx) (audit.Event, error) {
		return audit.Event{Action: action, CustomerID: audit.ID(h.CustomerID), IdentityID: h.IdentityID}, do(tx)
	})
	var pgErr *pq.Error
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case errors.As(err, &pgErr) && pgErr.Code == "23503": // foreign_key_violation
		return ErrGone
	case stores.Unavailable(err) && !stores.ChangedNothing(err):
		return fmt.Errorf("%w: %s: %w", ErrChangeUnknown, action, err)
	case err != nil:
		return fmt.Errorf("%s: %w", action, err)
	}
	// Another PIN may apply to the identity now, so refusals that are based on the customer's PIN may be wrong too.
	s.locks.lift(ctx, h.CustomerID, h.ID())
	return nil
}
