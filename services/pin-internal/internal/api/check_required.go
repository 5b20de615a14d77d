package api

import (
	"context"

	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// CheckRequired says whether a PIN must be asked for before a skill.
func (a *API) CheckRequired(ctx context.Context, r gen.CheckRequiredRequestObject) (gen.CheckRequiredResponseObject, error) {
	standing, err := a.Verifier.Standing(ctx, subject(ctx, r.InstanceID, &r.Params.CustomerID, r.Params.IdentityID))
	if err != nil {
		return nil, err
	}
	d := standing.Decide(r.Params.Skill, a.presented(ctx, r.Params.XPinSession))
	answer := gen.CheckRequired200JSONResponse{
		Required: d.Required, Reason: gen.RequirementReason(d.Reason), Role: gen.RequirementRole(d.Role),
		PINSet: standing.HasPIN(), IsActive: standing.HasPIN() && !standing.Deactivated, IsLocked: standing.Locked(),
		SkillProtected: d.SkillProtected, SessionActive: d.Session != nil,
	}
	if standing.Locked() {
		answer.LockedUntil = standing.LockedUntil
	}
	if standing.HasPIN() {
		holder := gen.RequirementPINHolder("customer")
		if standing.HeldByIdentity {
			holder = "identity"
		}
		answer.PINHolder = &holder
	}
	if d.Session != nil {
		end := d.Session.ExpiresAt(standing.TTL())
		answer.SessionExpiresAt = &end
	}
	return answer, nil
}

// presented finds the session of an X-Pin-Session header; nil when there is none.
func (a *API) presented(ctx context.Context, header *secret.Text) *session.Session {
	if header == nil {
		return nil
	}
	return a.Sessions.Find(ctx, header.Reveal())
}
