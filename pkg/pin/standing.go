package pin

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/token"
)

// Subject is whom an agent asks about: a customer or an identity, or a pair that must belong together, within the
// instance of its proxy key.
type Subject struct {
	Key        token.Token
	InstanceID uuid.UUID
	CustomerID uuid.NullUUID
	IdentityID uuid.NullUUID
	// Self says that no agent asks, but the customer, who is signed in. There is no key and no instance then.
	Self bool
}

// Standing is what Postgres says about a subject at one moment: the PIN that applies and its state, and the policy.
type Standing struct {
	At               time.Time     `db:"at"`
	KeyID            uuid.UUID     `db:"key_id"`
	KeyUseUnrecorded bool          `db:"key_use_unrecorded"`
	InstanceID       uuid.UUID     `db:"instance_id"`
	CustomerID       uuid.NullUUID `db:"customer_id"`
	IdentityID       uuid.NullUUID `db:"identity_id"`
	// Roles are the ones that the subject may have: one for an identity, several for a customer with several.
	Roles pq.StringArray `db:"roles"`
	Policy

	// Of the PIN that applies: the identity's own when it has one, else its customer's. All empty when there is none.
	HolderID          uuid.NullUUID `db:"holder_id"`
	HeldByIdentity    bool          `db:"held_by_identity"`
	Verifier          *string       `db:"verifier"`
	Generation        uuid.NullUUID `db:"generation"`
	SessionGeneration uuid.NullUUID `db:"session_generation"`
	Charged           int64         `db:"charged"`
	Deactivated       bool          `db:"deactivated"`
	LockedUntil       *time.Time    `db:"locked_until"`
}

// Policy says of an instance who confirms what, and for how long. The names are the contract's.
type Policy struct {
	AppliesTo      string         `db:"pin_applies_to"`
	RequiredSkills pq.StringArray `db:"pin_required_skills"`
	// SessionTTLMinutes is 1 to 1440.
	SessionTTLMinutes   int  `db:"pin_session_ttl_minutes"`
	ChangeRequiresProof bool `db:"pin_change_requires_proof"`
	// KYCRequired says that a PIN is set only for a customer who is identified, or by an admin.
	KYCRequired bool `db:"kyc_required"`
}

// TTL is how long a confirmation lasts.
func (p Policy) TTL() time.Duration { return time.Duration(p.SessionTTLMinutes) * time.Minute }

// HasPIN reports whether a PIN applies, active or not.
func (s Standing) HasPIN() bool { return s.Verifier != nil }

// Locked reports whether the PIN that applies is locked, which a deactivated one is not.
func (s Standing) Locked() bool { return s.LockedUntil != nil && !s.Deactivated }

// Accepts reports whether a session counts: it is this instance's and this customer's, for this identity when it names
// one, rests on the PIN that applies, as it now is, and is not too old.
func (s Standing) Accepts(x *session.Session) bool {
	return x != nil && s.HasPIN() && !s.Deactivated && !s.Locked() &&
		x.InstanceID == s.InstanceID && x.CustomerID == s.CustomerID.UUID &&
		(!x.IdentityID.Valid || x.IdentityID == s.IdentityID) &&
		x.HolderID == s.HolderID.UUID && x.Generation == s.SessionGeneration.UUID &&
		s.At.Before(x.ExpiresAt(s.TTL()))
}

// Reason says why a PIN is needed or not.
type Reason string

// The reasons, in the words of the contract.
const (
	PINNeeded         Reason = "pin_needed"
	NoActivePIN       Reason = "no_active_pin"
	RoleExempt        Reason = "role_exempt"
	SkillNotProtected Reason = "skill_not_protected"
	SessionActive     Reason = "session_active"
)

// Decision answers whether a PIN must be asked for.
type Decision struct {
	Required bool
	Reason   Reason
	// Role is the strictest one that the subject may have.
	Role string
	// SkillProtected is nil when no skill was named.
	SkillProtected *bool
	// Session is the one that was presented, when it counts.
	Session *session.Session
}

// Decide answers whether a PIN must be asked for before a skill (nil: before anything), given the session that was
// presented (nil: none). A PIN that is locked or deactivated is needed like any other: using up a budget opens no gate.
func (s Standing) Decide(skill *string, presented *session.Session) Decision {
	role, exempt := s.strictestRole()
	d := Decision{Required: true, Reason: PINNeeded, Role: role}
	if s.Accepts(presented) {
		d.Session = presented
	}
	if skill != nil {
		protected := s.protects(*skill)
		d.SkillProtected = &protected
	}
	switch {
	case !s.HasPIN():
		d.Required, d.Reason = false, NoActivePIN
	case exempt:
		d.Required, d.Reason = false, RoleExempt
	case d.SkillProtected != nil && !*d.SkillProtected:
		d.Required, d.Reason = false, SkillNotProtected
	case d.Session != nil:
		d.Required, d.Reason = false, SessionActive
	}
	return d
}

// strictestRole prefers a role that the policy applies to.
func (s Standing) strictestRole() (role string, exempt bool) {
	for _, role := range s.Roles {
		if s.AppliesTo == "all" || s.AppliesTo == role {
			return role, false
		}
	}
	return s.Roles[0], true
}

// protects matches a skill with the policy's list of names and of prefixes that end in *.
func (p Policy) protects(skill string) bool {
	return slices.ContainsFunc(p.RequiredSkills, func(pattern string) bool {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		return pattern == skill || isPrefix && strings.HasPrefix(skill, prefix)
	})
}
