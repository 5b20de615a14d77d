package api

import (
	"context"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// UseApproval uses an approval, and answers with its receipt or its session.
func (a *API) UseApproval(ctx context.Context, r gen.UseApprovalRequestObject) (gen.UseApprovalResponseObject, error) {
	request := approval.UseRequest{Key: caller.From(ctx).Key, InstanceID: r.InstanceID, Approval: r.ApprovalID, UseID: r.Body.UseID}
	if r.Body.Arguments != nil {
		request.Arguments = []byte(*r.Body.Arguments)
	}
	grant, err := a.Uses.Use(ctx, request)
	if err != nil {
		return nil, aboutArguments(err)
	}
	var answer gen.UseApproval200JSONResponse
	if grant.Session != nil {
		err = answer.FromSessionGrant(gen.SessionGrant{SessionToken: grant.Session.Reveal(), SessionExpiresAt: grant.ExpiresAt})
	} else {
		err = answer.FromReceiptGrant(gen.ReceiptGrant{Receipt: grant.Receipt, ActionHash: grant.ActionHash, UsedAt: grant.UsedAt})
	}
	return answer, err
}
