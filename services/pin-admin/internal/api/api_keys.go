package api

import (
	"context"

	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListAPIKeys returns one page of the API keys.
func (a *API) ListAPIKeys(ctx context.Context, r gen.ListAPIKeysRequestObject) (gen.ListAPIKeysResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PerPage, r.Params.Search, r.Params.SortBy, r.Params.SortDir)
	found, err := a.Keys.APIKeys(ctx, p)
	if err != nil {
		return nil, err
	}
	return gen.ListAPIKeys200JSONResponse{Items: each(found.Items, showAPIKey), Total: found.Total, Page: p.Number, PerPage: p.Size}, nil
}

// IssueAPIKey creates an API key. Only this answer contains the key itself.
func (a *API) IssueAPIKey(ctx context.Context, r gen.IssueAPIKeyRequestObject) (gen.IssueAPIKeyResponseObject, error) {
	k, key, err := a.Keys.IssueAPIKey(ctx, r.Body.Scopes, credential.NewKey{Name: r.Body.Name, ExpiresAt: r.Body.ExpiresAt})
	if err != nil {
		return nil, err
	}
	return gen.IssueAPIKey201JSONResponse{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: gen.Scopes(k.Scopes), ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt,
		LastUsedAt: k.LastUsedAt, CreatedAt: k.CreatedAt, Key: key.Reveal(),
	}, nil
}

// RevokeAPIKey revokes an API key. A key can revoke itself.
func (a *API) RevokeAPIKey(ctx context.Context, r gen.RevokeAPIKeyRequestObject) (gen.RevokeAPIKeyResponseObject, error) {
	if err := a.Keys.RevokeAPIKey(ctx, r.KeyID); err != nil {
		return nil, err
	}
	return gen.RevokeAPIKey204Response{}, nil
}

func showAPIKey(k credential.APIKey) gen.APIKey {
	return gen.APIKey{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: gen.Scopes(k.Scopes), ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt,
		LastUsedAt: k.LastUsedAt, CreatedAt: k.CreatedAt,
	}
}
