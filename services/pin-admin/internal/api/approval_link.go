package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
	"github.com/countersign/countersign/services/pin-admin/internal/decision"
	"github.com/countersign/countersign/services/pin-admin/internal/knownbrowser"
)

// OpenApproval returns what the page of a link shows.
func (a *API) OpenApproval(ctx context.Context, r gen.OpenApprovalRequestObject) (gen.OpenApprovalResponseObject, error) {
	asked, err := approval.ByLink(ctx, a.DB, r.Body.Token.Reveal())
	if err != nil {
		return nil, err
	}
	opened, err := a.Desk.Open(ctx, asked, knownbrowser.From(ctx))
	if err != nil {
		return nil, atLink(err)
	}
	view := linkView{ApprovalView: showPage(opened), KnownBrowser: opened.PIN.KnownBrowser, KnownBrowserRequired: opened.PIN.KnownBrowserRequired}
	// With pin_entry any, an agent can set the PIN of an identity, and then approve with it in a browser of its own. So this PIN does
	// not show the customer's phrase: the agent would learn it, and could show it on a false page.
	if view.KnownBrowser && !opened.PIN.HeldByIdentity {
		chosen, err := a.Phrases.Get(ctx, asked.CustomerID)
		if err != nil {
			return nil, err
		}
		if chosen != nil {
			text := chosen.Reveal()
			view.Phrase = &text
		}
	}
	return view, nil
}

// DecideApproval approves or denies at a link.
func (a *API) DecideApproval(ctx context.Context, r gen.DecideApprovalRequestObject) (gen.DecideApprovalResponseObject, error) {
	request, err := decisionRequest(r.Body.Decision, r.Body.ViewHash, r.Body.PIN)
	if err != nil {
		return nil, err
	}
	asked, err := approval.ByLink(ctx, a.DB, r.Body.Token.Reveal())
	if err != nil {
		return nil, err
	}
	request.Browser = knownbrowser.From(ctx)
	answer, err := a.Desk.Decide(asLink(ctx, asked.ID), asked, request)
	if err != nil {
		return nil, atLink(err)
	}
	return gen.DecideApproval200JSONResponse{DecisionJSONResponse: showDecision(answer)}, nil
}

// asLink returns a context whose caller is the person who followed the link of an approval.
func asLink(ctx context.Context, approval uuid.UUID) context.Context {
	c := caller.From(ctx)
	c.Kind, c.ID = caller.Link, approval
	return caller.NewContext(ctx, c)
}

// atLink returns the error of a request at a link. A link whose person is not within the instance any more is an unknown link.
func atLink(err error) error {
	if errors.Is(err, pin.ErrNotWithin) || errors.Is(err, approval.ErrNotFound) {
		return approval.ErrNoLink
	}
	return err
}

// decisionRequest reads a decision. A denial needs no PIN, and ignores it.
func decisionRequest(choice gen.DecisionChoice, viewHash gen.ViewHash, candidate *pin.PIN) (decision.Request, error) {
	switch {
	case choice == "deny":
		candidate = nil
	case candidate == nil:
		return decision.Request{}, web.Missing("pin")
	}
	return decision.Request{ViewHash: viewHash, PIN: candidate}, nil
}
