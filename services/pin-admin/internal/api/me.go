package api

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// GetMyPIN tells the signed-in user whether they have a PIN. A user who is no customer has none.
func (a *API) GetMyPIN(ctx context.Context, _ gen.GetMyPINRequestObject) (gen.GetMyPINResponseObject, error) {
	customer, err := a.Directory.CustomerOf(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return gen.GetMyPIN200JSONResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	status, err := a.Enroller.Status(ctx, pin.Holder{CustomerID: customer})
	if err != nil {
		return nil, err
	}
	return gen.GetMyPIN200JSONResponse{StatusJSONResponse: gen.StatusJSONResponse(status)}, nil
}
