package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// IssueEnrolment issues a link with which a person chooses the customer's PIN.
func (a *API) IssueEnrolment(ctx context.Context, r gen.IssueEnrolmentRequestObject) (gen.IssueEnrolmentResponseObject, error) {
	if err := a.Directory.HasCustomer(ctx, r.CustomerID); err != nil {
		return nil, err
	}
	issued, expires, err := a.Enrolments.Issue(ctx, r.CustomerID)
	if err != nil {
		return nil, err
	}
	return gen.IssueEnrolment201JSONResponse{URL: a.ApprovalURL.Enrol(issued), ExpiresAt: expires}, nil
}

// OpenEnrolment returns what the page of an enrolment link shows.
func (a *API) OpenEnrolment(ctx context.Context, r gen.OpenEnrolmentRequestObject) (gen.OpenEnrolmentResponseObject, error) {
	link, err := a.Enrolments.Get(ctx, r.Body.Token.Reveal())
	if err != nil {
		return nil, err
	}
	return gen.OpenEnrolment200JSONResponse{Status: string(link.Status), CustomerName: link.CustomerName, ExpiresAt: link.ExpiresAt}, nil
}

// CompleteEnrolment sets the PIN that the person chose.
func (a *API) CompleteEnrolment(ctx context.Context, r gen.CompleteEnrolmentRequestObject) (gen.CompleteEnrolmentResponseObject, error) {
	customer, err := a.Enrolments.Complete(ctx, r.Body.Token.Reveal(), r.Body.PIN, func(*sqlx.Tx, uuid.UUID) error { return nil })
	if err != nil {
		return nil, err
	}
	a.Waiting.Announce(ctx, customer)
	return gen.CompleteEnrolment200JSONResponse{Status: "used"}, nil
}
