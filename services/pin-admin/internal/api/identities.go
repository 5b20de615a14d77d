package api

import (
	"context"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListIdentities returns one page of a customer's identities.
func (a *API) ListIdentities(ctx context.Context, r gen.ListIdentitiesRequestObject) (gen.ListIdentitiesResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PerPage, r.Params.Search, r.Params.SortBy, r.Params.SortDir)
	found, err := a.Directory.Identities(ctx, r.CustomerID, p)
	if err != nil {
		return nil, err
	}
	return gen.ListIdentities200JSONResponse{Items: each(found.Items, showIdentity), Total: found.Total, Page: p.Number, PerPage: p.Size}, nil
}

// CreateIdentity adds an identity to a customer.
func (a *API) CreateIdentity(ctx context.Context, r gen.CreateIdentityRequestObject) (gen.CreateIdentityResponseObject, error) {
	identity, err := a.Directory.CreateIdentity(ctx, directory.Identity{
		CustomerID: r.CustomerID, InstanceID: r.Body.InstanceID, Channel: r.Body.Channel, ExternalID: r.Body.ExternalID,
		DisplayName: r.Body.DisplayName, RoleOverride: r.Body.RoleOverride, Verified: r.Body.Verified != nil && *r.Body.Verified,
	})
	if err != nil {
		return nil, err
	}
	return gen.CreateIdentity201JSONResponse(identity), nil
}

// GetIdentity returns one identity of a customer.
func (a *API) GetIdentity(ctx context.Context, r gen.GetIdentityRequestObject) (gen.GetIdentityResponseObject, error) {
	identity, err := a.Directory.Identity(ctx, r.CustomerID, r.IdentityID)
	if err != nil {
		return nil, err
	}
	return gen.GetIdentity200JSONResponse(identity), nil
}

// UpdateIdentity changes the fields of an identity that the request contains.
func (a *API) UpdateIdentity(ctx context.Context, r gen.UpdateIdentityRequestObject) (gen.UpdateIdentityResponseObject, error) {
	identity, err := a.Directory.ChangeIdentity(ctx, r.CustomerID, r.IdentityID, directory.IdentityChange{
		Channel: r.Body.Channel, ExternalID: r.Body.ExternalID, DisplayName: r.Body.DisplayName,
		RoleOverride: r.Body.RoleOverride, Verified: r.Body.Verified,
	})
	if err != nil {
		return nil, err
	}
	return gen.UpdateIdentity200JSONResponse(identity), nil
}

// DeleteIdentity deletes an identity and its own PIN.
func (a *API) DeleteIdentity(ctx context.Context, r gen.DeleteIdentityRequestObject) (gen.DeleteIdentityResponseObject, error) {
	if err := a.Directory.DeleteIdentity(ctx, r.CustomerID, r.IdentityID); err != nil {
		return nil, err
	}
	return gen.DeleteIdentity204Response{}, nil
}

func showIdentity(i directory.Identity) gen.Identity { return gen.Identity(i) }
