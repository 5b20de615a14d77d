package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// GetPINPolicy returns an instance's policy. Admins, API keys and the instance's owner can read it. Other users get the same
// 404 as for an unknown instance.
func (a *API) GetPINPolicy(ctx context.Context, r gen.GetPINPolicyRequestObject) (gen.GetPINPolicyResponseObject, error) {
	if who := caller.From(ctx); !who.MayRead() {
		if err := a.Directory.Owns(ctx, who.Email, r.InstanceID); err != nil {
			return nil, err
		}
	}
	policy, err := a.Policies.Get(ctx, r.InstanceID)
	if err != nil {
		return nil, err
	}
	return gen.GetPINPolicy200JSONResponse{PolicyJSONResponse: showPolicy(r.InstanceID, policy)}, nil
}

// UpdatePINPolicy changes the fields of an instance's policy that the request contains.
func (a *API) UpdatePINPolicy(ctx context.Context, r gen.UpdatePINPolicyRequestObject) (gen.UpdatePINPolicyResponseObject, error) {
	policy, err := a.Policies.Change(ctx, r.InstanceID, policy.Change{
		AppliesTo: (*string)(r.Body.PINAppliesTo), Enforcement: (*string)(r.Body.Enforcement),
		RequiredSkills:    r.Body.PINRequiredSkills,
		SessionTTLMinutes: r.Body.PINSessionTTLMinutes, ChangeRequiresProof: r.Body.PINChangeRequiresProof, KYCRequired: r.Body.KYCRequired,
		PINEntry: (*string)(r.Body.PINEntry), ApprovalKnownBrowser: r.Body.ApprovalKnownBrowser,
	})
	if err == nil && r.Body.PINEntry != nil {
		err = a.PINs.ForgetRefusals(ctx, r.InstanceID) // an agent must be refused at once, also while a PIN is locked
	}
	if err != nil {
		return nil, err
	}
	return gen.UpdatePINPolicy200JSONResponse{PolicyJSONResponse: showPolicy(r.InstanceID, policy)}, nil
}

func showPolicy(instance uuid.UUID, p policy.Policy) gen.PolicyJSONResponse {
	return gen.PolicyJSONResponse{
		InstanceID: instance, PINAppliesTo: gen.AppliesTo(p.AppliesTo),
		Enforcement: gen.Enforcement(p.Enforcement), PINRequiredSkills: gen.RequiredSkills(p.RequiredSkills),
		PINSessionTTLMinutes: p.SessionTTLMinutes, PINChangeRequiresProof: p.ChangeRequiresProof, KYCRequired: p.KYCRequired,
		PINEntry: gen.PINEntry(p.PINEntry), ApprovalKnownBrowser: p.ApprovalKnownBrowser,
	}
}
