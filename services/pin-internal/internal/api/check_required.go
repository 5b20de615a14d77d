package api

import (
	"context"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// CheckRequired answers whether the agent must ask for a PIN before it runs a skill.
func (a *API) CheckRequired(ctx context.Context, r gen.CheckRequiredRequestObject) (gen.CheckRequiredResponseObject, error) {
	presented := a.presented(ctx, r.Params.XPinSession)
	resolved, err := a.Verifier.Resolve(ctx, caller.From(ctx).Key, subject(r.InstanceID, &r.Params.CustomerID, r.Params.IdentityID), presented, r.Params.Skill)
	if err != nil {
		return nil, err
	}
	d := resolved.CheckRequired(r.Params.Skill, presented)
	answer := gen.CheckRequired200JSONResponse{
		Required: d.Required, Reason: gen.RequirementReason(d.Reason), Role: gen.RequirementRole(d.Role),
		PINSet: resolved.HasPIN(), IsActive: resolved.HasPIN() && !resolved.Deactivated, IsLocked: resolved.Locked(),
		SkillProtected: d.SkillProtected, SessionActive: resolved.Accepts(presented),
	}
	if resolved.Locked() {
		answer.LockedUntil = resolved.LockedUntil
	}
	if resolved.HasPIN() {
		holder := gen.RequirementPINHolder("customer")
		if resolved.HeldByIdentity {
			holder = "identity"
		}
		answer.PINHolder = &holder
	}
	if answer.SessionActive {
		end := presented.ExpiresAt(resolved.TTL())
		answer.SessionExpiresAt = &end
	}
	return answer, nil
}

// presented returns the session of an X-Pin-Session header, or nil if there is no such session.
func (a *API) presented(ctx context.Context, header *secret.Text) *session.Session {
	if header == nil {
		return nil
	}
	return a.Sessions.Store.Find(ctx, header.Reveal())
}
