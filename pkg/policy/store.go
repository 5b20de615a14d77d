package policy

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

// Store reads and changes the policies of the instances.
type Store struct{ DB *sqlx.DB }

// Change holds the new values of a policy. A nil field does not change. The OpenAPI document and the table's constraints
// define the ranges.
type Change struct {
	AppliesTo            *string
	Enforcement          *string
	RequiredSkills       *[]string
	SessionTTLMinutes    *int
	ChangeRequiresProof  *bool
	KYCRequired          *bool
	PINEntry             *string
	ApprovalKnownBrowser *bool
}

const columns = `pin_applies_to, enforcement, pin_required_skills, pin_session_ttl_minutes, pin_change_requires_proof, kyc_required,
	pin_entry, approval_known_browser`

// Get returns an instance's policy, or directory.ErrNoInstance.
func (s Store) Get(ctx context.Context, instance uuid.UUID) (Policy, error) {
	var policy Policy
	err := s.DB.GetContext(ctx, &policy, `select `+columns+` from instances where id = $1`, instance)
	if errors.Is(err, sql.ErrNoRows) {
		return Policy{}, directory.ErrNoInstance
	}
	if err != nil {
		return Policy{}, fmt.Errorf("reading a policy: %w", err)
	}
	return policy, nil
}

// Change changes an instance's policy and returns the new policy, or directory.ErrNoInstance. The new policy applies from the
// next request on, also to existing sessions.
func (s Store) Change(ctx context.Context, instance uuid.UUID, change Change) (Policy, error) {
	if change == (Change{}) {
		return s.Get(ctx, instance)
	}
	const q = `
		update instances
		   set pin_applies_to = coalesce($2, pin_applies_to), enforcement = coalesce($7, enforcement), pin_required_skills = coalesce($3, pin_required_skills),
		       pin_session_ttl_minutes = coalesce($4, pin_session_ttl_minutes),
		       pin_change_requires_proof = coalesce($5, pin_change_requires_proof),
		       kyc_required = coalesce($6, kyc_required), pin_entry = coalesce($8, pin_entry),
		       approval_known_browser = coalesce($9, approval_known_browser), updated_at = now()
		 where id = $1
		returning ` + columns
	var skills any
	if change.RequiredSkills != nil {
		skills = pq.StringArray(*change.RequiredSkills)
	}
	var policy Policy
	err := audit.Change(ctx, s.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &policy, q, instance, change.AppliesTo, skills, change.SessionTTLMinutes, change.ChangeRequiresProof, change.KYCRequired, change.Enforcement,
			change.PINEntry, change.ApprovalKnownBrowser)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, directory.ErrNoInstance
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("changing a policy: %w", err)
		}
		return audit.Event{Action: "policy.changed", InstanceID: audit.ID(instance), Details: map[string]any{
			"pin_applies_to": policy.AppliesTo, "enforcement": policy.Enforcement, "pin_required_skills": policy.RequiredSkills,
			"pin_session_ttl_minutes": policy.SessionTTLMinutes, "pin_change_requires_proof": policy.ChangeRequiresProof,
			"kyc_required": policy.KYCRequired, "pin_entry": policy.PINEntry, "approval_known_browser": policy.ApprovalKnownBrowser,
		}}, nil
	})
	if err != nil {
		return Policy{}, err
	}
	return policy, nil
}

// TrustingAgents returns the names of at most limit instances that have a skill with the mode approval, but take PINs from agents, and
// the number of all such instances. There an approval does not protect against the agent runtime: it can set an identity's PIN and
// then approve.
func TrustingAgents(ctx context.Context, db *sqlx.DB, limit int) (names []string, total int, err error) {
	const q = `
		select i.name from instances i
		 where i.pin_entry <> 'page' and exists (select from skills k where k.instance_id = i.id and k.mode = 'approval')
		 order by i.name, i.id`
	if err := db.SelectContext(ctx, &names, q); err != nil {
		return nil, 0, fmt.Errorf("reading the instances that take PINs from agents: %w", err)
	}
	return names[:min(limit, len(names))], len(names), nil
}
