package api

import (
	"context"

	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListProxyKeys returns one page of an instance's proxy keys.
func (a *API) ListProxyKeys(ctx context.Context, r gen.ListProxyKeysRequestObject) (gen.ListProxyKeysResponseObject, error) {
	if err := a.Directory.HasInstance(ctx, r.InstanceID); err != nil {
		return nil, err
	}
	p := pageOf(r.Params.Page, r.Params.PerPage, r.Params.Search, r.Params.SortBy, r.Params.SortDir)
	found, err := a.Keys.ProxyKeys(ctx, r.InstanceID, p)
	if err != nil {
		return nil, err
	}
	return gen.ListProxyKeys200JSONResponse{Items: each(found.Items, showProxyKey), Total: found.Total, Page: p.Number, PerPage: p.Size}, nil
}

// IssueProxyKey creates a proxy key. Only this answer contains the key itself.
func (a *API) IssueProxyKey(ctx context.Context, r gen.IssueProxyKeyRequestObject) (gen.IssueProxyKeyResponseObject, error) {
	var requested credential.NewKey
	if r.Body != nil {
		requested = credential.NewKey{Name: r.Body.Name, ExpiresAt: r.Body.ExpiresAt}
	}
	k, key, err := a.Keys.IssueProxyKey(ctx, r.InstanceID, requested)
	if err != nil {
		return nil, err
	}
	return gen.IssueProxyKey201JSONResponse{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt, LastUsedAt: k.LastUsedAt,
		CreatedAt: k.CreatedAt, Key: key.Reveal(),
	}, nil
}

// RevokeProxyKey revokes a proxy key.
func (a *API) RevokeProxyKey(ctx context.Context, r gen.RevokeProxyKeyRequestObject) (gen.RevokeProxyKeyResponseObject, error) {
	if err := a.Keys.RevokeProxyKey(ctx, r.InstanceID, r.KeyID); err != nil {
		return nil, err
	}
	return gen.RevokeProxyKey204Response{}, nil
}

func showProxyKey(k credential.ProxyKey) gen.ProxyKey { return gen.ProxyKey(k) }
