// Package api is pin-admin's surface: what a dashboard's backend, and the people behind it, may ask and change.
package api

import (
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// API answers pin-admin's endpoints.
type API struct {
	Spec         *web.Spec
	AccessTokens *caller.AccessTokens
	APIKeys      caller.APIKeys
	Enroller     *pin.Enroller
	Policies     pin.Policies
	Directory    directory.Directory
}

// Routes is the whole surface, with who may call beside each line. read: admins and API keys. admin: admins and API keys
// with that scope. user: whoever is signed in. anyone: any credential; the handler decides.
func (a *API) Routes(e *echo.Echo) {
	h := gen.ServerInterfaceWrapper{Handler: gen.NewStrictHandler(a, nil)}
	read, admin, user, anyone := a.allow(caller.Caller.MayRead), a.allow(caller.Caller.MayChange), a.allow(isUser), a.allow(isAnyone)
	customer := "/v1/customers/:customer_id"
	identity := customer + "/identities/:identity_id"

	e.GET(customer+"/pin", h.GetCustomerPIN, read)
	e.POST(customer+"/pin", h.SetCustomerPIN, admin)
	e.DELETE(customer+"/pin", h.RemoveCustomerPIN, admin)
	e.POST(customer+"/pin/unlock", h.UnlockCustomerPIN, admin)

	e.GET(identity+"/pin", h.GetIdentityPIN, read)
	e.POST(identity+"/pin", h.SetIdentityPIN, admin)
	e.DELETE(identity+"/pin", h.RemoveIdentityPIN, admin)
	e.POST(identity+"/pin/unlock", h.UnlockIdentityPIN, admin)

	e.GET("/v1/instances/:instance_id/pin-policy", h.GetPINPolicy, anyone) // also the instance's owner
	e.PATCH("/v1/instances/:instance_id/pin-policy", h.UpdatePINPolicy, admin)

	e.GET("/v1/me/pin", h.GetMyPIN, user)
}

func isUser(c caller.Caller) bool { return c.Kind == caller.User }

func isAnyone(caller.Caller) bool { return true }

// allow lets a request through when its credential is good and may do this, and then holds it against the spec.
func (a *API) allow(may func(caller.Caller) bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		next = a.Spec.Validate(next)
		return func(c echo.Context) error {
			who, err := a.identify(c)
			if err != nil {
				return err
			}
			who.RequestID, who.Address = web.RequestID(c), c.RealIP()
			web.LogAttr(c, "actor_kind", string(who.Kind), "actor_id", who.ID.String())
			if !may(who) {
				return caller.ErrForbidden
			}
			c.SetRequest(c.Request().WithContext(caller.NewContext(c.Request().Context(), who)))
			return next(c)
		}
	}
}

// identify reads the credential. An access token goes before an API key: a request that shows a bad one of the first is
// not saved by a good one of the second.
func (a *API) identify(c echo.Context) (caller.Caller, error) {
	ctx, header := c.Request().Context(), c.Request().Header
	if header.Get(echo.HeaderAuthorization) != "" {
		text, ok := web.Bearer(c.Request())
		if !ok {
			return caller.Caller{}, caller.ErrNotAuthenticated
		}
		return a.AccessTokens.Authenticate(ctx, text)
	}
	if key := header.Get("X-Api-Key"); key != "" {
		return a.APIKeys.Authenticate(ctx, key)
	}
	return caller.Caller{}, caller.ErrNotAuthenticated
}
