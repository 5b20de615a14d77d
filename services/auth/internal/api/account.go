package api

import (
	"context"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// ExportAccount returns the caller's data.
func (a *API) ExportAccount(ctx context.Context, _ gen.ExportAccountRequestObject) (gen.ExportAccountResponseObject, error) {
	e, err := a.Accounts.Export(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	sessions, err := a.Sessions.History(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	keys, err := a.ExchangeKeys.List(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	events, err := a.KYC.History(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	export := gen.Export{
		ExportedAt: e.ExportedAt, Profile: gen.Profile(e.Profile), Role: e.Role, EmailConfirmedAt: e.EmailConfirmedAt,
		SecondFactorSince: e.SecondFactorSince, Sessions: []gen.PastSession{}, KYCEvents: []gen.KYCEvent{}, ExchangeKeys: keyAnswers(keys),
	}
	for _, past := range events {
		export.KYCEvents = append(export.KYCEvents, gen.KYCEvent{
			Provider: past.Provider, Type: past.Type, Status: string(past.Status), Level: past.Level, RejectLabels: past.RejectLabels,
			OccurredAt: past.OccurredAt, ReceivedAt: past.ReceivedAt,
		})
	}
	for _, s := range sessions {
		export.Sessions = append(export.Sessions, gen.PastSession{
			ID: s.ID, CreatedAt: s.CreatedAt, RefreshedAt: s.RefreshedAt, ExpiresAt: s.ExpiresAt, ProvedAt: s.ProvedAt,
			AMR: s.AMR, EndedAt: s.EndedAt, EndedBy: s.EndedBy,
		})
	}
	return gen.ExportAccount200JSONResponse{Body: export, Headers: gen.ExportAccount200ResponseHeaders{
		ContentDisposition: `attachment; filename="countersign-account.json"`,
	}}, nil
}

// DeleteAccount deletes the caller, who must have proved the session within the last 5 minutes.
func (a *API) DeleteAccount(ctx context.Context, _ gen.DeleteAccountRequestObject) (gen.DeleteAccountResponseObject, error) {
	if err := caller.RequireFresh(ctx); err != nil {
		return nil, err
	}
	if err := a.Accounts.Delete(ctx, caller.From(ctx).ID); err != nil {
		return nil, err
	}
	return gen.DeleteAccount204Response{}, nil
}
