package api

import (
	"context"
	"maps"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/kyc"
)

// webhookKey is the context key of the authenticated kyc.Webhook.
type webhookKey struct{}

// kycVendor allows a KYC vendor: a request with a valid signature of its raw body, or with the static token. After that it
// validates the request against the OpenAPI document.
func (a *API) kycVendor(next echo.HandlerFunc) echo.HandlerFunc {
	next = a.Spec.Validate(next)
	return func(c echo.Context) error {
		setCaller(c, caller.Caller{Kind: caller.Anonymous})
		ctx := c.Request().Context()
		webhook, err := a.authenticateVendor(c)
		if err != nil {
			return err
		}
		c.SetRequest(c.Request().WithContext(context.WithValue(ctx, webhookKey{}, webhook)))
		return next(c)
	}
}

// authenticateVendor reads and checks a webhook. It gives the place of a large body back when the body's signature is checked.
func (a *API) authenticateVendor(c echo.Context) (kyc.Webhook, error) {
	release := func() {}
	defer func() { release() }()
	place := func() error {
		if err := a.largeBodies.take(c.RealIP()); err != nil {
			return err
		}
		release = func() { a.largeBodies.release(c.RealIP()) }
		return nil
	}
	bearer, _ := web.Bearer(c.Request())
	return a.KYC.Authenticate(c.Request().Context(), c.Request().Header, bearer, func() ([]byte, error) { return a.Spec.RawBody(c, place) })
}

// ReceiveKYCEvent stores an event of a vendor.
func (a *API) ReceiveKYCEvent(ctx context.Context, _ gen.ReceiveKYCEventRequestObject) (gen.ReceiveKYCEventResponseObject, error) {
	if err := a.KYC.Receive(ctx, ctx.Value(webhookKey{}).(kyc.Webhook)); err != nil {
		return nil, err
	}
	return gen.ReceiveKYCEvent200JSONResponse(nil), nil
}

// GetKYCHealth returns which vendors are configured.
func (a *API) GetKYCHealth(context.Context, gen.GetKYCHealthRequestObject) (gen.GetKYCHealthResponseObject, error) {
	providers, status := a.KYC.Configured(), gen.Disabled
	if slices.Contains(slices.Collect(maps.Values(providers)), true) {
		status = gen.Ok
	}
	return gen.GetKYCHealth200JSONResponse{Status: status, Providers: providers}, nil
}

// GetKYCStatus returns the caller's verification status.
func (a *API) GetKYCStatus(ctx context.Context, _ gen.GetKYCStatusRequestObject) (gen.GetKYCStatusResponseObject, error) {
	s, err := a.KYC.State(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	return gen.GetKYCStatus200JSONResponse{
		Status: gen.KYCStatusStatus(s.Status), Level: s.Level, Provider: s.Provider, CanRetry: s.CanRetry(),
		RejectLabels: s.RejectLabels, ReviewedAt: s.ReviewedAt(), UpdatedAt: s.ReceivedAt,
	}, nil
}
