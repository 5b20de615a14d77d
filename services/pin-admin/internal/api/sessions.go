package api

import (
	"context"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListSessions returns one page of a customer's live PIN sessions.
func (a *API) ListSessions(ctx context.Context, r gen.ListSessionsRequestObject) (gen.ListSessionsResponseObject, error) {
	if err := a.Directory.HasCustomer(ctx, r.CustomerID); err != nil {
		return nil, err
	}
	live, err := a.Sessions.Live(ctx, r.CustomerID)
	if err != nil {
		return nil, err
	}
	p := pageOf(r.Params.Page, r.Params.PerPage, nil, nil, nil)
	first := min(len(live), (p.Number-1)*p.Size)
	last := min(len(live), first+p.Size)
	return gen.ListSessions200JSONResponse{Items: each(live[first:last], showSession), Total: len(live), Page: p.Number, PerPage: p.Size}, nil
}

// EndSessions ends all PIN sessions of a customer.
func (a *API) EndSessions(ctx context.Context, r gen.EndSessionsRequestObject) (gen.EndSessionsResponseObject, error) {
	if err := a.Directory.HasCustomer(ctx, r.CustomerID); err != nil {
		return nil, err
	}
	if err := a.Sessions.End(ctx, r.CustomerID); err != nil {
		return nil, err
	}
	return gen.EndSessions204Response{}, nil
}

func showSession(s pin.LiveSession) gen.Session { return gen.Session(s) }
