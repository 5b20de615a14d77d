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
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/prepared"
	"github.com/countersign/countersign/pkg/stores"
)

var (
	errNotCharged = errors.New("the budget does not allow another attempt")
	errLost       = errors.New("the verdict came too late or for another PIN")
)

// store holds the statements of a verification. Each that decides something is one statement.
type store struct {
	db       *sqlx.DB
	keys     credential.Keys
	resolveQ *prepared.Statement
	chargeQ  *prepared.Statement
	rightQ   *prepared.Statement
}

func newStore(db *sqlx.DB) store {
	return store{db, credential.Keys{DB: db}, prepared.New(db, resolveSQL), prepared.New(db, chargeSQL), prepared.New(db, settleRightSQL)}
}

// standingColumns are Standing's, less the key and the roles, of an instance i, a subject s and the PIN h that applies.
const standingColumns = `now() as at,
	       i.id as instance_id, i.pin_applies_to, i.pin_required_skills, i.pin_session_ttl_minutes, i.pin_change_requires_proof, i.kyc_required,
	       s.customer_id, s.identity_id, h.holder_id, h.identity_id is not null as held_by_identity,
	       h.verifier, h.generation, h.session_generation,
	       coalesce(h.charged, 0) as charged, h.deactivated_by is not null as deactivated,
	       case when h.locked_until > now() then h.locked_until end as locked_until`

// applyingPIN joins the PIN that applies to a subject s: the identity's own when it has one, else its customer's.
const applyingPIN = `left join lateral (
	         select * from pin_holders h
	          where h.holder_id in (s.identity_id, s.customer_id) and h.verifier is not null
	          order by h.identity_id nulls last
	          limit 1
	       ) h on true`

const resolveSQL = `
	select k.id as key_id, ` + credential.UseUnrecorded + ` as key_use_unrecorded,
	       coalesce(r.roles, '{owner}') as roles, ` + standingColumns + `
	  from proxy_keys k
	  join instances i on i.id = k.instance_id
	  left join lateral (
	         select d.customer_id, d.id as identity_id
	           from identities d
	          where d.id = $3 and d.instance_id = i.id and ($2::uuid is null or d.customer_id = $2)
	          union all
	         select c.id, null
	           from customers c
	          where $3::uuid is null and c.id = $2
	            and (i.owner_customer_id = c.id
	                 or exists (select from identities d where d.customer_id = c.id and d.instance_id = i.id))
	       ) s on true
	  left join lateral (
	         select array_agg(distinct coalesce(d.role_override,
	                    case when i.owner_customer_id = d.customer_id then 'owner' else 'customer' end)) as roles
	           from identities d
	          where d.customer_id = s.customer_id and d.instance_id = i.id and (s.identity_id is null or d.id = s.identity_id)
	       ) r on true
	  ` + applyingPIN + `
	 where k.key_hash = $1 and ` + credential.Valid

// resolve asks, in one query, whether the key is good, whether the subject is within its instance, and which PIN and
// which policy apply.
func (s store) resolve(ctx context.Context, who Subject) (Standing, error) {
	if !who.CustomerID.Valid && !who.IdentityID.Valid {
		return Standing{}, ErrNoSubject
	}
	if who.Self {
		return s.resolveSelf(ctx, who.CustomerID)
	}
	var st Standing
	err := s.resolveQ.Get(ctx, &st, who.Key.Hash(), who.CustomerID, who.IdentityID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Standing{}, caller.ErrInvalid
	case err != nil:
		return Standing{}, fmt.Errorf("resolving whose PIN applies: %w", err)
	case st.InstanceID != who.InstanceID:
		return Standing{}, directory.ErrNoInstance
	case !st.CustomerID.Valid:
		return Standing{}, ErrNotWithin
	}
	if st.KeyUseUnrecorded {
		if err := s.keys.RecordProxyKeyUse(ctx, st.KeyID); err != nil {
			return Standing{}, err
		}
	}
	return st, nil
}

// charge is one attempt that was spent, with the verifier to compare with: the one of the same moment.
type charge struct {
	HolderID    uuid.UUID  `db:"holder_id"`
	Number      int64      `db:"number"`
	Spent       int64      `db:"spent"`
	Verifier    string     `db:"verifier"`
	Generation  uuid.UUID  `db:"generation"`
	LockedUntil *time.Time `db:"locked_until"`
	Deactivated bool       `db:"deactivated"`
}

// chargeSQL is complete in testdata/charge.sql. It also ends the sessions of the PIN if it writes a lock.
const chargeSQL = `
	with charge as (
	    update pin_holders h
	       set (` + budget.Marks + `, session_generation) = (
	           select ` + budget.Charged + `,
	                  case when fills or ends then gen_random_uuid() else h.session_generation end
	             from ` + budget.Next + `)
	     where h.holder_id = $1 and h.verifier is not null and ` + budget.Allows + `
	    returning h.holder_id, h.charged as number, h.charged - h.window_start as spent, h.verifier, h.generation,
	              h.locked_until, h.deactivated_by is not null as deactivated
	), attempt as (
	    insert into attempts (holder_id, number, instance_id, request_id)
	    select holder_id, number, $6, $7 from charge
	)
	select * from charge`

// charge spends one attempt of the PIN that applies, in a transaction of its own, or returns errNotCharged.
func (s store) charge(ctx context.Context, st Standing, b budget.Limits) (charge, error) {
	var c charge
	args := append([]any{st.HolderID}, b.Args()...)
	err := s.chargeQ.Get(ctx, &c, append(args, st.InstanceID, caller.From(ctx).RequestID)...)
	if errors.Is(err, sql.ErrNoRows) {
		return charge{}, errNotCharged
	}
	if err != nil {
		return charge{}, fmt.Errorf("charging an attempt: %w", err)
	}
	return c, nil
}

// budgetState is a holder's budget after an attempt was settled.
type budgetState struct {
	At                time.Time  `db:"at"`
	Spent             int64      `db:"spent"`
	LockedUntil       *time.Time `db:"locked_until"`
	Deactivated       bool       `db:"deactivated"`
	SessionGeneration uuid.UUID  `db:"session_generation"`
}

const budgetColumns = `now() as at, h.charged - h.window_start as spent, h.session_generation, h.deactivated_by is not null as deactivated,
	              case when h.locked_until > now() and h.deactivated_by is null then h.locked_until end as locked_until`

// settleRightSQL is complete in testdata/settle_right.sql. A right attempt counts only for the PIN that it was compared with,
// and only for a short time after its charge. So a replica that was stopped during a reset cannot undo later changes.
const settleRightSQL = `
	with settled as (
	    update pin_holders h
	       set ` + budget.Forgiven + `
	     where h.holder_id = $1 and h.generation = $3
	       and exists (select from attempts a where a.holder_id = $1 and a.number = $2 and a.outcome is null
	                      and a.charged_at > now() - $4::float8 * interval '1 second')
	    returning ` + budgetColumns + `
	), noted as (
	    update attempts set settled_at = now(), outcome = case when exists (select from settled) then 'right' else 'lost' end
	     where holder_id = $1 and number = $2 and outcome is null
	)
	select * from settled`

// settleRight makes a right verdict count, or returns errLost.
func (s store) settleRight(ctx context.Context, c charge) (budgetState, error) {
	var after budgetState
	err := s.rightQ.Get(ctx, &after, c.HolderID, c.Number, c.Generation, verdictTime.Seconds())
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
	 where holder_id = $1 and number = $2 and outcome is null`

// settleWrong notes a wrong verdict, and in the audit trail the lock or deactivation that the attempt wrote ahead. It
// changes no budget: a charge is a failure from the start.
func (s store) settleWrong(ctx context.Context, st Standing, c charge) (after budgetState, err error) {
	err = stores.InTransaction(ctx, s.db, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, settleWrongSQL, c.HolderID, c.Number); err != nil {
			return err
		}
		if action := c.consequence(); action != "" {
			who := caller.From(ctx)
			if who.Kind == caller.ProxyKey {
				who.ID = st.KeyID // only the resolving query knew which key it was
			}
			event := audit.Event{Action: action, CustomerID: st.CustomerID, IdentityID: st.IdentityID, InstanceID: audit.ID(st.InstanceID)}
			if err := audit.Record(caller.NewContext(ctx, who), tx, event); err != nil {
				return err
			}
		}
		return tx.GetContext(ctx, &after, `select `+budgetColumns+` from pin_holders h where holder_id = $1`, c.HolderID)
	})
	if err != nil {
		return budgetState{}, fmt.Errorf("settling a wrong attempt: %w", err)
	}
	return after, nil
}

// consequence is what the attempt wrote ahead, as the audit trail calls it.
func (c charge) consequence() string {
	switch {
	case c.Deactivated:
		return "pin.deactivated"
	case c.LockedUntil != nil:
		return "pin.locked"
	}
	return ""
}

// renew replaces the verifier of a PIN that is still the one that was compared. The PIN is the same, so its generations
// stay.
func (s store) renew(ctx context.Context, c charge, verifier string) error {
	const q = `update pin_holders set verifier = $3 where holder_id = $1 and generation = $2`
	if _, err := s.db.ExecContext(ctx, q, c.HolderID, c.Generation, verifier); err != nil {
		return fmt.Errorf("renewing a verifier: %w", err)
	}
	return nil
}
