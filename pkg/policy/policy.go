// Package policy decides, by an instance's PIN policy, whether a PIN is needed before a skill. It also stores that policy.
package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/skill"
)

// Policy is the PIN policy of one instance. The column names are the names of the contract.
type Policy struct {
	// AppliesTo is the role that must confirm: "owner", "customer", or "all" for both.
	AppliesTo string `db:"pin_applies_to"`
	// Enforcement is Listed or Strict.
	Enforcement string `db:"enforcement"`
	// RequiredSkills are the skills that Listed protects. An entry is a name, or a prefix that ends in "*". Upper and lower case
	// of ASCII letters are equal.
	RequiredSkills pq.StringArray `db:"pin_required_skills"`
	// SessionTTLMinutes is how long a confirmation lasts: 1 to 1440 minutes.
	SessionTTLMinutes int `db:"pin_session_ttl_minutes"`
	// ChangeRequiresProof means that an agent must prove the PIN that applies before it sets or removes a PIN.
	ChangeRequiresProof bool `db:"pin_change_requires_proof"`
	// KYCRequired means that only an admin sets a PIN for a customer whose identity is not verified.
	KYCRequired bool `db:"kyc_required"`
	// PINEntry is EntryAny or EntryPage.
	PINEntry string `db:"pin_entry"`
	// ApprovalKnownBrowser means that a link approves only in a browser in which the person gave the PIN before.
	ApprovalKnownBrowser bool `db:"approval_known_browser"`
}

// The values of Enforcement.
const (
	// Listed protects the skills in the list. Other skills are open, and if no PIN is set, no PIN is needed.
	Listed = "listed"
	// Strict protects every skill that is not registered as open, and a person without a PIN may use none of them.
	Strict = "strict"
)

// The values of PINEntry.
const (
	// EntryAny lets an agent relay, set and remove PINs.
	EntryAny = "any"
	// EntryPage means that a person gives a PIN only to a page of Countersign, or signed in to the dashboard.
	EntryPage = "page"
)

// TTL returns how long a confirmation lasts.
func (p Policy) TTL() time.Duration { return time.Duration(p.SessionTTLMinutes) * time.Minute }

// Reason says why a PIN is needed or not needed. The values are in the contract.
type Reason string

// The reasons.
const (
	PINNeeded         Reason = "pin_needed"
	NoActivePIN       Reason = "no_active_pin"
	RoleExempt        Reason = "role_exempt"
	SkillNotProtected Reason = "skill_not_protected"
	SessionActive     Reason = "session_active"
	ApprovalNeeded    Reason = "approval_needed"
)

// Question is what Decide must know about a subject.
type Question struct {
	// HasPIN is true if a PIN applies, even a locked or deactivated one.
	HasPIN bool
	// Roles are the roles that the subject may have. There is at least one.
	Roles []string
	// Skill is nil if the agent names no skill.
	Skill *string
	// Mode is what the skill needs if it is registered.
	Mode skill.Mode
	// SessionActive is true if the agent presents a valid session.
	SessionActive bool
}

// Decision is the answer to a Question.
type Decision struct {
	Required bool
	Reason   Reason
	// Role is the strictest of the roles.
	Role string
	// SkillProtected is nil if the agent named no skill.
	SkillProtected *bool
}

// Decide decides whether a PIN is needed. A locked or deactivated PIN is needed like any other PIN: an exhausted guess budget
// must not remove the protection. AppliesTo exempts a role under both enforcements, because an admin has to choose that; so an
// exempt person without a PIN is not refused. Without a skill, the list is not consulted.
//
// An admin registered a skill for a reason, so a registered skill does not follow the list and the enforcement. It is open, or it
// is protected and a person without a PIN is refused. Nothing replaces the approval of an action: no session, and no role.
func (p Policy) Decide(q Question) Decision {
	role, exempt := p.strictestRole(q.Roles)
	d := Decision{Required: true, Reason: PINNeeded, Role: role}
	if q.Skill != nil {
		protected := p.protects(*q.Skill, q.Mode)
		d.SkillProtected = &protected
	}
	switch {
	case needsApproval(q.Mode):
		d.Reason = ApprovalNeeded
	case !q.HasPIN && !p.strict() && q.Mode != skill.Session:
		d.Required, d.Reason = false, NoActivePIN
	case exempt:
		d.Required, d.Reason = false, RoleExempt
	case d.SkillProtected != nil && !*d.SkillProtected:
		d.Required, d.Reason = false, SkillNotProtected
	case !q.HasPIN:
		d.Reason = NoActivePIN
	case q.SessionActive:
		d.Required, d.Reason = false, SessionActive
	}
	return d
}

// needsApproval reports whether each action needs an approval of its own. An unknown mode counts as Approval.
func needsApproval(m skill.Mode) bool {
	return m != skill.Unregistered && m != skill.Open && m != skill.Session
}

// strictestRole returns a role that the policy applies to. If there is none, it returns the first role, which is exempt.
func (p Policy) strictestRole(roles []string) (role string, exempt bool) {
	for _, role := range roles {
		if p.AppliesTo == "all" || p.AppliesTo == role {
			return role, false
		}
	}
	return roles[0], true
}

// strict reports whether the enforcement is strict. An unknown enforcement counts as strict.
func (p Policy) strict() bool { return p.Enforcement != Listed }

// protects reports whether a skill is protected. The list and the enforcement decide only about a skill that is not registered. Names
// are compared in the lower case of ASCII: other letters have lower cases of other lengths, and lower cases that are ASCII letters.
func (p Policy) protects(name string, mode skill.Mode) bool {
	if mode != skill.Unregistered {
		return mode != skill.Open
	}
	name = action.Lower(name)
	return p.strict() || slices.ContainsFunc(p.RequiredSkills, func(pattern string) bool {
		prefix, isPrefix := strings.CutSuffix(action.Lower(pattern), "*")
		return prefix == name || isPrefix && strings.HasPrefix(name, prefix)
	})
}
