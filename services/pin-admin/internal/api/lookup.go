package api

import (
	"context"

	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// LookupIdentity returns the identity with an account on a channel of an instance, and its customer.
func (a *API) LookupIdentity(ctx context.Context, r gen.LookupIdentityRequestObject) (gen.LookupIdentityResponseObject, error) {
	found, err := a.Directory.Lookup(ctx, r.Params.InstanceID, r.Params.Channel, r.Params.ExternalID)
	if err != nil {
		return nil, err
	}
	return gen.LookupIdentity200JSONResponse{
		IdentityID: found.IdentityID, CustomerID: found.CustomerID, CustomerEmail: found.CustomerEmail,
		Channel: found.Channel, ExternalID: found.ExternalID, DisplayName: found.DisplayName,
		RoleOverride: found.RoleOverride, Verified: found.Verified,
	}, nil
}
