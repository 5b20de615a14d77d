package api

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// defaultExpiry is the time for an answer if the request names none.
const defaultExpiry = 600

// AskApproval answers what an action needs, and asks the person for an approval if it needs one.
func (a *API) AskApproval(ctx context.Context, r gen.AskApprovalRequestObject) (gen.AskApprovalResponseObject, error) {
	b := r.Body
	request := approval.Request{
		Subject: subject(r.InstanceID, b.CustomerID, b.IdentityID), Skill: b.Skill, Audience: b.Audience, Note: b.Note,
		ExpiresIn: defaultExpiry * time.Second, Presented: a.presented(ctx, r.Params.XPinSession),
	}
	if b.Arguments != nil {
		request.Arguments = string(*b.Arguments)
	}
	if b.ExpiresIn != nil {
		request.ExpiresIn = time.Duration(*b.ExpiresIn) * time.Second
	}
	answer, err := a.Asker.Ask(ctx, caller.From(ctx).Key, request)
	if err != nil {
		return nil, aboutArguments(err)
	}
	var same gen.AskApproval200JSONResponseBody
	if answer.NotRequired != "" {
		err := same.FromNotRequired(gen.NotRequired{Status: "not_required", Reason: gen.NotRequiredReason(answer.NotRequired)})
		return gen.AskApproval200JSONResponse(same), err
	}
	shown, err := a.approval(answer.Row)
	if err != nil {
		return nil, err
	}
	if answer.Created {
		return gen.AskApproval201JSONResponse(shown), nil
	}
	err = same.FromApproval(shown)
	return gen.AskApproval200JSONResponse(same), err
}

// aboutArguments turns an error about the arguments into an issue that names the place. The text has no name that the caller made
// up.
func aboutArguments(err error) error {
	var refused *action.Error
	if !errors.As(err, &refused) {
		return err
	}
	what := "The arguments "
	if len(refused.Path) > 0 {
		what = "This member "
	}
	return web.InBody("arguments", refused.Path, what+refused.Reason)
}

// CancelApproval cancels an approval.
func (a *API) CancelApproval(ctx context.Context, r gen.CancelApprovalRequestObject) (gen.CancelApprovalResponseObject, error) {
	if err := approval.Cancel(ctx, a.DB, r.InstanceID, r.ApprovalID); err != nil {
		return nil, err
	}
	approval.Announce(ctx, a.Redis, r.ApprovalID)
	return gen.CancelApproval204Response{}, nil
}

// approval returns what an agent is told about an approval.
func (a *API) approval(row approval.Row) (gen.Approval, error) {
	words, err := row.Shown()
	if err != nil {
		return gen.Approval{}, err
	}
	shown := gen.Approval{
		ID: row.ID, Status: gen.ApprovalStatus(row.Status), Grants: gen.ApprovalGrants(row.Kind), Skill: row.Skill, ActionHash: row.Hash(),
		Summary: words.Text(), Reason: (*gen.ApprovalReason)(row.Reason), CreatedAt: row.CreatedAt, ExpiresAt: row.ExpiresAt,
	}
	if row.Status == approval.Pending {
		link, err := row.LinkToken(a.PINKeys)
		if err != nil {
			return gen.Approval{}, err
		}
		url := a.Links.Approve(link)
		shown.URL = &url
	}
	return shown, nil
}
