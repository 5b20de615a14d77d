package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListApprovals returns one page of the approvals, newest first.
func (a *API) ListApprovals(ctx context.Context, r gen.ListApprovalsRequestObject) (gen.ListApprovalsResponseObject, error) {
	q := r.Params
	p := pageOf(q.Page, q.PerPage, nil, nil, nil)
	found, err := approval.List(ctx, a.DB, approval.Filter{
		CustomerID: q.CustomerID, InstanceID: q.InstanceID, Status: q.Status, Skill: q.Skill, Since: q.Since, Until: q.Until,
	}, p)
	if err != nil {
		return nil, err
	}
	items := make([]gen.Approval, len(found.Items))
	for i, listed := range found.Items {
		if items[i], err = showApproval(listed); err != nil {
			return nil, err
		}
	}
	return gen.ListApprovals200JSONResponse{Items: items, Total: found.Total, Page: p.Number, PerPage: p.Size}, nil
}

// GetApproval returns one approval, with its arguments and the agent's note.
func (a *API) GetApproval(ctx context.Context, r gen.GetApprovalRequestObject) (gen.GetApprovalResponseObject, error) {
	found, err := approval.Find(ctx, a.DB, r.ApprovalID)
	if err != nil {
		return nil, err
	}
	s, err := showApproval(found)
	if err != nil {
		return nil, err
	}
	return gen.GetApproval200JSONResponse{
		ID: s.ID, InstanceID: s.InstanceID, InstanceName: s.InstanceName, CustomerID: s.CustomerID, CustomerEmail: s.CustomerEmail,
		IdentityID: s.IdentityID, Skill: s.Skill, Audience: s.Audience, Grants: s.Grants, Status: s.Status, Reason: s.Reason, Summary: s.Summary,
		ActionHash: s.ActionHash, Requester: s.Requester, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, DecidedAt: s.DecidedAt, UsedAt: s.UsedAt,
		Arguments: found.Arguments, Note: found.Note,
	}, nil
}

func showApproval(l approval.Listed) (gen.Approval, error) {
	shown, err := skill.Show(l.Skill, l.Title, l.Template, l.Arguments)
	if err != nil {
		return gen.Approval{}, err
	}
	return gen.Approval{
		ID: l.ID, InstanceID: l.InstanceID, InstanceName: l.InstanceName, CustomerID: l.CustomerID, CustomerEmail: l.CustomerEmail,
		IdentityID: optional(l.IdentityID), Skill: l.Skill, Audience: l.Audience, Grants: l.Kind, Status: l.Status, Reason: l.Reason, Summary: shown.Text(),
		ActionHash: l.Hash(), Requester: l.Requester, CreatedAt: l.CreatedAt, ExpiresAt: l.ExpiresAt, DecidedAt: l.DecidedAt, UsedAt: l.UsedAt,
	}, nil
}

func optional(id uuid.NullUUID) *uuid.UUID {
	if !id.Valid {
		return nil
	}
	return &id.UUID
}
