package pin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/token"
)

// Errors of resolving a subject.
var (
	ErrNoSubject = fault.New(fault.Invalid, "subject_missing", "customer_id or identity_id is needed")
	ErrNotWithin = fault.New(fault.NotFound, "subject_not_found", "Customer or identity not found in this instance")
)

// Subject is the customer or the identity that an agent asks about. At least one id is given. If both are given, the identity
// must be the customer's.
type Subject struct {
	InstanceID uuid.UUID
	CustomerID uuid.NullUUID
	IdentityID uuid.NullUUID
}

// Resolved is the state of a subject at one moment: the PIN that applies to it, and the policy of the instance.
type Resolved struct {
	// At is the time by Postgres's clock.
	At         time.Time     `db:"at"`
	InstanceID uuid.UUID     `db:"instance_id"`
	CustomerID uuid.NullUUID `db:"customer_id"`
	IdentityID uuid.NullUUID `db:"identity_id"`
	// Roles are the roles that the subject may have: one for an identity, one or more for a customer.
	Roles pq.StringArray `db:"roles"`
	policy.Policy

	// Skill is the registered skill that was named to Resolve. Its Mode is skill.Unregistered if there is none.
	Skill skill.Registered `db:"skill"`

	// SessionRevoked is true if an agent of the instance revoked the session that was passed to Resolve.
	SessionRevoked bool `db:"session_revoked"`

	// KeyID is the proxy key of the request. KeyUseUnrecorded is true if last_used_at of the key must be written.
	KeyID            uuid.UUID `db:"key_id"`
	KeyUseUnrecorded bool      `db:"key_use_unrecorded"`

	// The PIN that applies: the identity's own PIN if it has one, else the customer's PIN. If no PIN applies, these fields
	// are zero.
	HolderID          uuid.NullUUID `db:"holder_id"`
	HeldByIdentity    bool          `db:"held_by_identity"`
	Verifier          *string       `db:"verifier"`
	Generation        uuid.NullUUID `db:"generation"`
	SessionGeneration uuid.NullUUID `db:"session_generation"`
	Deactivated       bool          `db:"deactivated"`
	// LockedUntil is nil if there is no lock, or the lock has ended.
	LockedUntil *time.Time `db:"locked_until"`

	// approving is the approval that the attempt will belong to. It is nil for an attempt of an agent.
	approving *Approving
}

// HasPIN reports whether a PIN applies, active or not.
func (r Resolved) HasPIN() bool { return r.Verifier != nil }

// Locked reports whether the PIN that applies is locked. A deactivated PIN does not count as locked.
func (r Resolved) Locked() bool { return r.LockedUntil != nil && !r.Deactivated }

// Accepts reports whether a session (nil: none) is valid for the subject. It must belong to the same instance, the same
// customer, and the same identity if it names one. It must be based on the current state of the PIN that applies. It must not
// be revoked, and it must not be older than the policy allows. x is the session that was passed to Resolve.
func (r Resolved) Accepts(x *session.Session) bool {
	return x != nil && !r.SessionRevoked && r.HasPIN() && !r.Deactivated && !r.Locked() &&
		x.InstanceID == r.InstanceID && x.CustomerID == r.CustomerID.UUID &&
		(!x.IdentityID.Valid || x.IdentityID == r.IdentityID) &&
		x.HolderID == r.HolderID.UUID && x.Generation == r.SessionGeneration.UUID &&
		r.At.Before(x.ExpiresAt(r.TTL()))
}

// CheckRequired decides what is needed before a skill (nil: no skill is named), if the agent presents a session (nil: none). Both
// were passed to Resolve.
func (r Resolved) CheckRequired(name *string, presented *session.Session) policy.Decision {
	return r.Decide(policy.Question{HasPIN: r.HasPIN(), Roles: r.Roles, Skill: name, Mode: r.Skill.Mode, SessionActive: r.Accepts(presented)})
}

// resolvedColumns are the fields of Resolved without the key and the roles, for an instance i, a subject s and the PIN h that
// applies.
const resolvedColumns = `now() as at,
	       i.id as instance_id, i.pin_applies_to, i.enforcement, i.pin_required_skills, i.pin_session_ttl_minutes, i.pin_change_requires_proof, i.kyc_required,
	       i.pin_entry, i.approval_known_browser,
	       s.customer_id, s.identity_id, h.holder_id, h.identity_id is not null as held_by_identity,
	       h.verifier, h.generation, h.session_generation,
	       h.deactivated_by is not null as deactivated,
	       case when h.locked_until > now() then h.locked_until end as locked_until`

// applyingPIN joins the PIN that applies to a subject s: the identity's own PIN if it has one, else the customer's PIN.
const applyingPIN = `left join lateral (
	         select * from pin_holders h
	          where h.holder_id in (s.identity_id, s.customer_id) and h.verifier is not null
	          order by h.identity_id nulls last
	          limit 1
	       ) h on true`

const resolveSQL = `
	select k.id as key_id, ` + credential.UseUnrecorded + ` as key_use_unrecorded,
	       v.session_hash is not null as session_revoked,
	       coalesce(r.roles, '{owner}') as roles,
	       coalesce(z.skill, '') as "skill.name", coalesce(z.mode, '') as "skill.mode", z.audience as "skill.audience", z.version as "skill.version",
	       ` + resolvedColumns + `
	  from proxy_keys k
	  join instances i on i.id = k.instance_id
	  left join revoked_sessions v on v.session_hash = coalesce($4::bytea, '') and v.instance_id = i.id
	  left join skills z on z.instance_id = i.id and lower(z.skill collate "C") = lower(coalesce($5::text, '') collate "C")
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

// Resolve authenticates a proxy key and reads the state of a subject, in one query. The query also reads whether presented (nil:
// none) was revoked, and the registered skill with this name (nil: no skill is named). Resolve returns caller.ErrInvalid if the
// key is not valid, directory.ErrNoInstance if it is the key of another instance, ErrNoSubject if no id is given, and ErrNotWithin
// if the subject is not within the instance.
func (v *Verifier) Resolve(ctx context.Context, key token.Token, subject Subject, presented *session.Session, name *string) (Resolved, error) {
	if !subject.CustomerID.Valid && !subject.IdentityID.Valid {
		return Resolved{}, ErrNoSubject
	}
	var hash []byte // null if there is no session
	if presented != nil {
		hash = presented.Hash
	}
	var r Resolved
	err := v.resolveQ.Get(ctx, v.db, &r, key.Hash(), subject.CustomerID, subject.IdentityID, hash, name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Resolved{}, caller.ErrInvalid
	case err != nil:
		return Resolved{}, fmt.Errorf("resolving the PIN that applies: %w", err)
	case r.InstanceID != subject.InstanceID:
		return Resolved{}, directory.ErrNoInstance
	case !r.CustomerID.Valid:
		return Resolved{}, ErrNotWithin
	}
	if r.KeyUseUnrecorded {
		keys := credential.Keys{DB: v.db}
		if err := keys.RecordProxyKeyUse(ctx, r.KeyID); err != nil {
			return Resolved{}, err
		}
	}
	return r, nil
}

// resolveOwn reads the state of the PIN that a customer holds, for a signed-in customer. There is no key, no instance and no
// policy.
func (v *Verifier) resolveOwn(ctx context.Context, customer uuid.UUID) (Resolved, error) {
	const q = `
		select now() as at, h.customer_id, h.holder_id, h.verifier, h.generation, h.session_generation,
		       h.deactivated_by is not null as deactivated, case when h.locked_until > now() then h.locked_until end as locked_until
		  from pin_holders h where h.holder_id = $1 and h.verifier is not null`
	var r Resolved
	err := v.db.GetContext(ctx, &r, q, customer)
	if errors.Is(err, sql.ErrNoRows) {
		return Resolved{CustomerID: uuid.NullUUID{UUID: customer, Valid: true}}, nil
	}
	if err != nil {
		return Resolved{}, fmt.Errorf("resolving a customer's own PIN: %w", err)
	}
	return r, nil
}
