package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
	"github.com/countersign/countersign/services/pin-admin/internal/knownbrowser"
	"github.com/countersign/countersign/services/pin-admin/internal/phrase"
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

// CompleteEnrolment sets the PIN that the person chose, and the phrase if there is one. The browser is then known for this PIN.
func (a *API) CompleteEnrolment(ctx context.Context, r gen.CompleteEnrolmentRequestObject) (gen.CompleteEnrolmentResponseObject, error) {
	var chosen phrase.Phrase
	if r.Body.Phrase != nil {
		var err error
		if chosen, err = phrase.Parse(r.Body.Phrase.Reveal()); err != nil {
			return nil, err
		}
	}
	var cookie *http.Cookie
	customer, err := a.Enrolments.Complete(ctx, r.Body.Token.Reveal(), r.Body.PIN, func(tx *sqlx.Tx, customer uuid.UUID) (err error) {
		if cookie, err = a.Desk.Browsers.RememberIn(ctx, tx, knownbrowser.From(ctx), customer); err != nil || r.Body.Phrase == nil {
			return err
		}
		event, err := a.Phrases.SetIn(ctx, tx, customer, chosen)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, event)
	})
	if err != nil {
		return nil, err
	}
	a.Waiting.Announce(ctx, customer)
	text := cookie.String()
	return gen.CompleteEnrolment200JSONResponse{
		Body: gen.CompletedEnrolment{Status: "used"}, Headers: gen.CompleteEnrolment200ResponseHeaders{SetCookie: &text},
	}, nil
}
