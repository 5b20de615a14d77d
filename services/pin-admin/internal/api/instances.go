package api

import (
	"context"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListInstances returns one page of all instances.
func (a *API) ListInstances(ctx context.Context, r gen.ListInstancesRequestObject) (gen.ListInstancesResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PerPage, r.Params.Search, r.Params.SortBy, r.Params.SortDir)
	found, err := a.Directory.Instances(ctx, p)
	if err != nil {
		return nil, err
	}
	return gen.ListInstances200JSONResponse{Items: each(found.Items, showInstance), Total: found.Total, Page: p.Number, PerPage: p.Size}, nil
}

// CreateInstance adds an instance. Without an enforcement in the request, its policy is listed, as in the source API.
func (a *API) CreateInstance(ctx context.Context, r gen.CreateInstanceRequestObject) (gen.CreateInstanceResponseObject, error) {
	enforcement := policy.Listed
	if r.Body.Enforcement != nil {
		enforcement = string(*r.Body.Enforcement)
	}
	instance, err := a.Directory.CreateInstance(ctx, r.Body.Name, r.Body.OwnerCustomerID, enforcement)
	if err != nil {
		return nil, err
	}
	return gen.CreateInstance201JSONResponse(instance), nil
}

// GetInstance returns one instance.
func (a *API) GetInstance(ctx context.Context, r gen.GetInstanceRequestObject) (gen.GetInstanceResponseObject, error) {
	instance, err := a.Directory.Instance(ctx, r.InstanceID)
	if err != nil {
		return nil, err
	}
	return gen.GetInstance200JSONResponse(instance), nil
}

// UpdateInstance changes the fields of an instance that the request contains.
func (a *API) UpdateInstance(ctx context.Context, r gen.UpdateInstanceRequestObject) (gen.UpdateInstanceResponseObject, error) {
	instance, err := a.Directory.ChangeInstance(ctx, r.InstanceID, directory.InstanceChange(*r.Body))
	if err != nil {
		return nil, err
	}
	return gen.UpdateInstance200JSONResponse(instance), nil
}

// DeleteInstance deletes an instance, its keys and its identities.
func (a *API) DeleteInstance(ctx context.Context, r gen.DeleteInstanceRequestObject) (gen.DeleteInstanceResponseObject, error) {
	if err := a.Directory.DeleteInstance(ctx, r.InstanceID); err != nil {
		return nil, err
	}
	return gen.DeleteInstance204Response{}, nil
}

func showInstance(i directory.Instance) gen.Instance { return gen.Instance(i) }
