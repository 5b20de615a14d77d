// Package api is pin-internal's surface: what an agent runtime may ask, with the proxy key of its instance.
package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// API answers pin-internal's endpoints.
type API struct {
	Spec      *web.Spec
	Keys      credential.Keys
	Verifier  *pin.Verifier
	Enroller  *pin.Enroller
	Directory directory.Directory
	Sessions  session.Store
}

// Routes is the whole surface. Whoever calls shows a proxy key of the instance in the path; there is no other way in.
func (a *API) Routes(e *echo.Echo) {
	h := gen.ServerInterfaceWrapper{Handler: gen.NewStrictHandler(a, nil)}
	instance := "/internal/v1/instances/:instance_id"

	e.POST(instance+"/pin/verify", h.VerifyPIN, a.keyInQuery)
	e.POST(instance+"/pin/check-required", h.CheckRequired, a.keyInQuery, oneSession)
	e.POST(instance+"/pin/sessions/introspect", h.IntrospectSession, a.keyFirst)
	e.DELETE(instance+"/pin/sessions", h.RevokeSession, a.keyFirst)
	e.POST(instance+"/identities/:identity_id/pin", h.SetIdentityPIN, a.keyFirst, oneSession)
	e.DELETE(instance+"/identities/:identity_id/pin", h.RemoveIdentityPIN, a.keyFirst, oneSession)
	e.GET(instance+"/lookup/identity", h.LookupIdentity, a.keyFirst)
}

// keyFirst lets through who shows a proxy key of the instance in the path, and then holds the request against the spec.
func (a *API) keyFirst(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key, err := shownKey(c)
		if err != nil {
			return err
		}
		who, err := a.authenticate(c, key)
		if err != nil {
			return err
		}
		carry(c, who)
		return a.Spec.Validate(next)(c)
	}
}

// keyInQuery is for the hot path, whose one query also judges the key. A request that never gets that far is told what
// is wrong with it only when its key is good.
func (a *API) keyInQuery(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key, err := shownKey(c)
		if err != nil {
			return err
		}
		carry(c, caller.Caller{Kind: caller.ProxyKey, Key: key})
		asked := false
		err = a.Spec.Validate(func(c echo.Context) error {
			asked = true
			return next(c)
		})(c)
		if asked {
			return err
		}
		if _, refused := a.authenticate(c, key); refused != nil {
			return refused
		}
		return err
	}
}

// shownKey reads the proxy key from the header. A key with a typo is refused without a look into the database.
func shownKey(c echo.Context) (token.Token, error) {
	text, ok := web.Bearer(c.Request())
	if !ok {
		return token.Token{}, caller.ErrNotAuthenticated
	}
	key, err := token.Parse(token.ProxyKey, text, 0)
	if err != nil {
		return token.Token{}, caller.ErrInvalid
	}
	return key, nil
}

// authenticate asks whose key it is. An instance id that cannot be one is left to the spec.
func (a *API) authenticate(c echo.Context, key token.Token) (caller.Caller, error) {
	who, err := a.Keys.AuthenticateProxyKey(c.Request().Context(), key)
	if err != nil {
		return caller.Caller{}, err
	}
	if instance, err := uuid.Parse(c.Param("instance_id")); err == nil && instance != who.InstanceID {
		return caller.Caller{}, directory.ErrNoInstance
	}
	return who, nil
}

// carry hands the caller to the handler and to the log line.
func carry(c echo.Context, who caller.Caller) {
	who.RequestID, who.Address = web.RequestID(c), c.RealIP()
	c.SetRequest(c.Request().WithContext(caller.NewContext(c.Request().Context(), who)))
	if instance, err := uuid.Parse(c.Param("instance_id")); err == nil {
		web.LogAttr(c, "actor_kind", string(who.Kind), "instance_id", instance.String())
	}
}

// oneSession drops an X-Pin-Session header that is empty or stands twice: it counts as absent, like any other that is
// malformed.
func oneSession(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		const name = "X-Pin-Session"
		if given := c.Request().Header.Values(name); len(given) != 1 || given[0] == "" {
			c.Request().Header.Del(name)
		}
		return next(c)
	}
}

// subject is whom a request asks about, with the key that may ask.
func subject(ctx context.Context, instance uuid.UUID, customer, identity *uuid.UUID) pin.Subject {
	return pin.Subject{Key: caller.From(ctx).Key, InstanceID: instance, CustomerID: optional(customer), IdentityID: optional(identity)}
}

func optional(id *uuid.UUID) uuid.NullUUID {
	if id == nil {
		return uuid.NullUUID{}
	}
	return uuid.NullUUID{UUID: *id, Valid: true}
}
