package api

import (
	"context"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// ListSessions returns the caller's live sessions.
func (a *API) ListSessions(ctx context.Context, r gen.ListSessionsRequestObject) (gen.ListSessionsResponseObject, error) {
	who, p := caller.From(ctx), page.Page{Number: 1, Size: 20}
	if r.Params.Page != nil {
		p.Number = *r.Params.Page
	}
	if r.Params.PerPage != nil {
		p.Size = *r.Params.PerPage
	}
	found, err := a.Sessions.List(ctx, who.ID, p)
	if err != nil {
		return nil, err
	}
	list := gen.SessionPage{Items: []gen.Session{}, Total: found.Total, Page: p.Number, PerPage: p.Size}
	for _, s := range found.Items {
		list.Items = append(list.Items, gen.Session{
			ID: s.ID, CreatedAt: s.CreatedAt, RefreshedAt: s.RefreshedAt, ExpiresAt: s.ExpiresAt, AMR: s.AMR, Current: s.ID == who.SessionID,
		})
	}
	return gen.ListSessions200JSONResponse(list), nil
}

// EndSession ends a session of the caller.
func (a *API) EndSession(ctx context.Context, r gen.EndSessionRequestObject) (gen.EndSessionResponseObject, error) {
	if err := a.Sessions.EndOwn(ctx, caller.From(ctx).ID, r.SessionID); err != nil {
		return nil, err
	}
	return gen.EndSession204Response{}, nil
}

// EndOtherSessions ends all sessions of the caller except the session of the request.
func (a *API) EndOtherSessions(ctx context.Context, _ gen.EndOtherSessionsRequestObject) (gen.EndOtherSessionsResponseObject, error) {
	who := caller.From(ctx)
	if err := a.Sessions.EndOthers(ctx, who.ID, who.SessionID); err != nil {
		return nil, err
	}
	return gen.EndOtherSessions204Response{}, nil
}
