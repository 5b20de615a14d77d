package api

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
	"github.com/countersign/countersign/services/pin-admin/internal/knownbrowser"
)

// ListMyApprovals returns the approvals that wait for the signed-in customer.
func (a *API) ListMyApprovals(ctx context.Context, _ gen.ListMyApprovalsRequestObject) (gen.ListMyApprovalsResponseObject, error) {
	views := []gen.ApprovalView{}
	customer, err := a.Directory.CustomerByEmail(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return gen.ListMyApprovals200JSONResponse{Items: views}, nil
	}
	if err != nil {
		return nil, err
	}
	waiting, err := approval.WaitingFor(ctx, a.DB, customer)
	if err != nil {
		return nil, err
	}
	for _, asked := range waiting {
		opened, err := a.Desk.Open(ctx, asked, knownbrowser.Browser{})
		if errors.Is(err, pin.ErrNotWithin) {
			continue // the customer left the instance
		}
		if err != nil {
			return nil, err
		}
		views = append(views, showPage(opened))
	}
	return gen.ListMyApprovals200JSONResponse{Items: views}, nil
}

// DecideMyApproval approves or denies as the signed-in customer.
func (a *API) DecideMyApproval(ctx context.Context, r gen.DecideMyApprovalRequestObject) (gen.DecideMyApprovalResponseObject, error) {
	request, err := decisionRequest(r.Body.Decision, r.Body.ViewHash, r.Body.PIN)
	if err != nil {
		return nil, err
	}
	customer, err := a.Directory.CustomerByEmail(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return nil, approval.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	asked, err := approval.OfCustomer(ctx, a.DB, customer, r.ApprovalID)
	if err != nil {
		return nil, err
	}
	request.SignedIn = true
	answer, err := a.Desk.Decide(ctx, asked, request)
	if errors.Is(err, pin.ErrNotWithin) {
		return nil, approval.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return gen.DecideMyApproval200JSONResponse{DecisionJSONResponse: showDecision(answer)}, nil
}
