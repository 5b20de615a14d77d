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
	"github.com/countersign/countersign/pkg/directory"
)

// Policies keeps the policy of each instance.
type Policies struct{ DB *sqlx.DB }

// PolicyChange is what to change of a policy; nil stays as it is. Ranges are those of the OpenAPI document, and of the
// table's checks.
type PolicyChange struct {
	AppliesTo           *string
	RequiredSkills      *[]string
	SessionTTLMinutes   *int
	ChangeRequiresProof *bool
	KYCRequired         *bool
}

const policyColumns = `pin_applies_to, pin_required_skills, pin_session_ttl_minutes, pin_change_requires_proof, kyc_required`

// Get returns an instance's policy, or directory.ErrNoInstance.
func (p Policies) Get(ctx context.Context, instance uuid.UUID) (Policy, error) {
	var policy Policy
	err := p.DB.GetContext(ctx, &policy, `select `+policyColumns+` from instances where id = $1`, instance)
	if errors.Is(err, sql.ErrNoRows) {
		return Policy{}, directory.ErrNoInstance
	}
	if err != nil {
		return Policy{}, fmt.Errorf("reading a policy: %w", err)
	}
	return policy, nil
}

// Change changes an instance's policy and returns it, or directory.ErrNoInstance. It holds from the next question on, for sessions
// that exist too.
func (p Policies) Change(ctx context.Context, instance uuid.UUID, change PolicyChange) (Policy, error) {
	if change == (PolicyChange{}) {
		return p.Get(ctx, instance)
	}
	const q = `
		update instances
		   set pin_applies_to = coalesce($2, pin_applies_to), pin_required_skills = coalesce($3, pin_required_skills),
		       pin_session_ttl_minutes = coalesce($4, pin_session_ttl_minutes),
		       pin_change_requires_proof = coalesce($5, pin_change_requires_proof),
		       kyc_required = coalesce($6, kyc_required), updated_at = now()
		 where id = $1
		returning ` + policyColumns
	var skills any
	if change.RequiredSkills != nil {
		skills = pq.StringArray(*change.RequiredSkills)
	}
	var policy Policy
	err := audit.Change(ctx, p.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &policy, q, instance, change.AppliesTo, skills, change.SessionTTLMinutes, change.ChangeRequiresProof, change.KYCRequired)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, directory.ErrNoInstance
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("changing a policy: %w", err)
		}
		return audit.Event{Action: "policy.changed", InstanceID: audit.ID(instance), Details: map[string]any{
			"pin_applies_to": policy.AppliesTo, "pin_required_skills": policy.RequiredSkills,
			"pin_session_ttl_minutes": policy.SessionTTLMinutes, "pin_change_requires_proof": policy.ChangeRequiresProof,
			"kyc_required": policy.KYCRequired,
		}}, nil
	})
	return policy, err
}
