package api

import (
	"context"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListCustomers returns one page of all customers.
func (a *API) ListCustomers(ctx context.Context, r gen.ListCustomersRequestObject) (gen.ListCustomersResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PerPage, r.Params.Search, r.Params.SortBy, r.Params.SortDir)
	found, err := a.Directory.Customers(ctx, p)
	if err != nil {
		return nil, err
	}
	return gen.ListCustomers200JSONResponse{Items: each(found.Items, showCustomer), Total: found.Total, Page: p.Number, PerPage: p.Size}, nil
}

// CreateCustomer adds a customer.
func (a *API) CreateCustomer(ctx context.Context, r gen.CreateCustomerRequestObject) (gen.CreateCustomerResponseObject, error) {
	customer, err := a.Directory.CreateCustomer(ctx, r.Body.Email, r.Body.DisplayName)
	if err != nil {
		return nil, err
	}
	return gen.CreateCustomer201JSONResponse(customer), nil
}

// GetCustomer returns one customer.
func (a *API) GetCustomer(ctx context.Context, r gen.GetCustomerRequestObject) (gen.GetCustomerResponseObject, error) {
	customer, err := a.Directory.Customer(ctx, r.CustomerID)
	if err != nil {
		return nil, err
	}
	return gen.GetCustomer200JSONResponse(customer), nil
}

// UpdateCustomer changes the fields of a customer that the request contains.
func (a *API) UpdateCustomer(ctx context.Context, r gen.UpdateCustomerRequestObject) (gen.UpdateCustomerResponseObject, error) {
	customer, err := a.Directory.ChangeCustomer(ctx, r.CustomerID, directory.CustomerChange{Email: r.Body.Email, DisplayName: r.Body.DisplayName})
	if err != nil {
		return nil, err
	}
	return gen.UpdateCustomer200JSONResponse(customer), nil
}

// DeleteCustomer deletes a customer and its data. A customer that owns an instance cannot be deleted.
func (a *API) DeleteCustomer(ctx context.Context, r gen.DeleteCustomerRequestObject) (gen.DeleteCustomerResponseObject, error) {
	if err := a.Directory.DeleteCustomer(ctx, r.CustomerID); err != nil {
		return nil, err
	}
	return gen.DeleteCustomer204Response{}, nil
}

func showCustomer(c directory.Customer) gen.Customer { return gen.Customer(c) }
