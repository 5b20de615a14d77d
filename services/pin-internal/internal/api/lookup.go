package api

import (
	"context"

	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// LookupIdentity returns the identity with an account on a channel of the instance, and its customer.
func (a *API) LookupIdentity(ctx context.Context, r gen.LookupIdentityRequestObject) (gen.LookupIdentityResponseObject, error) {
	found, err := a.Directory.Lookup(ctx, r.InstanceID, string(r.Params.Channel), r.Params.ExternalID)
	if err != nil {
		return nil, err
	}
	return gen.LookupIdentity200JSONResponse{
		IdentityID: found.IdentityID, CustomerID: found.CustomerID, CustomerEmail: found.CustomerEmail,
		Channel: gen.Channel(found.Channel), ExternalID: found.ExternalID, DisplayName: found.DisplayName,
		RoleOverride: (*gen.AddressRoleOverride)(found.RoleOverride), Verified: found.Verified,
	}, nil
}
