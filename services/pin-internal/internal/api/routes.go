// Package api is pin-internal's HTTP API. An agent runtime calls it with the proxy key of its instance.
package api

import (
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/pkg/wakeup"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// API answers pin-internal's endpoints.
type API struct {
	Spec      *web.Spec
	Keys      credential.Keys
	Verifier  *pin.Verifier
	PINs      *pin.Store
	Directory directory.Directory
	Sessions  pin.Sessions

	DB    *sqlx.DB
	Redis redis.UniversalClient
	// PINKeys is the keyring of PINs. The tokens of links are derived from it, and Links is their base.
	PINKeys *keyring.Ring
	Links   approval.URL
	Asker   *approval.Asker
	Uses    *approval.Uses
	// Answers has the requests that wait for the answer to an approval.
	Answers *wakeup.Board
}

// Routes registers every endpoint. The only allowed caller is a proxy key of the instance in the path.
//   - proxyKey: the middleware checks the key.
//   - proxyKeyCheckedByHandler: the handler's one SQL query checks the key, because these endpoints are the hot path.
//   - singlePINSession: an empty X-Pin-Session header counts as absent. A repeated one is not a valid session.
func (a *API) Routes(e *echo.Echo) {
	h := gen.ServerInterfaceWrapper{Handler: gen.NewStrictHandler(a, nil)}
	proxyKey, proxyKeyCheckedByHandler := a.proxyKey, a.proxyKeyCheckedByHandler
	instance := "/internal/v1/instances/:instance_id"

	e.POST(instance+"/pin/verify", h.VerifyPIN, proxyKeyCheckedByHandler)
	e.POST(instance+"/pin/check-required", h.CheckRequired, proxyKeyCheckedByHandler, singlePINSession)
	e.POST(instance+"/pin/sessions/introspect", h.IntrospectSession, proxyKey)
	e.DELETE(instance+"/pin/sessions", h.RevokeSession, proxyKey)
	e.POST(instance+"/identities/:identity_id/pin", h.SetIdentityPIN, proxyKey, singlePINSession)
	e.DELETE(instance+"/identities/:identity_id/pin", h.RemoveIdentityPIN, proxyKey, singlePINSession)
	e.GET(instance+"/lookup/identity", h.LookupIdentity, proxyKey)

	e.POST(instance+"/approvals", h.AskApproval, proxyKeyCheckedByHandler, singlePINSession)
	e.GET(instance+"/approvals/:approval_id", h.GetApproval, proxyKey)
	e.POST(instance+"/approvals/:approval_id/use", h.UseApproval, proxyKeyCheckedByHandler)
	e.POST(instance+"/approvals/:approval_id/cancel", h.CancelApproval, proxyKey)
}

// proxyKey allows a valid proxy key of the instance in the path. After that it validates the request against the OpenAPI
// document.
func (a *API) proxyKey(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key, err := parseKey(c)
		if err != nil {
			return err
		}
		who, err := a.authenticate(c, key)
		if err != nil {
			return err
		}
		setCaller(c, who)
		return a.Spec.Validate(next)(c)
	}
}

// proxyKeyCheckedByHandler leaves the check of the key to the handler. If the handler does not run because the request is
// invalid, the middleware checks the key itself: only a caller with a valid key is told what is invalid.
func (a *API) proxyKeyCheckedByHandler(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key, err := parseKey(c)
		if err != nil {
			return err
		}
		setCaller(c, caller.Caller{Kind: caller.ProxyKey, Key: key})
		handled := false
		err = a.Spec.Validate(func(c echo.Context) error {
			handled = true
			return next(c)
		})(c)
		if handled {
			return err
		}
		if _, refused := a.authenticate(c, key); refused != nil {
			return refused
		}
		return err
	}
}

// parseKey reads the proxy key from the Authorization header. It refuses a key with a wrong checksum without a database read.
func parseKey(c echo.Context) (token.Token, error) {
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

// authenticate checks that the key is valid for the instance in the path. If the instance id is malformed, the validation
// that follows refuses it.
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

// setCaller puts the caller into the request's context, for the handler, and into the log line.
func setCaller(c echo.Context, who caller.Caller) {
	who.RequestID, who.Address = web.RequestID(c), c.RealIP()
	c.SetRequest(c.Request().WithContext(caller.NewContext(c.Request().Context(), who)))
	if instance, err := uuid.Parse(c.Param("instance_id")); err == nil {
		web.LogAttr(c, "actor_kind", string(who.Kind), "instance_id", instance.String())
	}
}

// singlePINSession removes an empty X-Pin-Session header. It joins a repeated header (RFC 9110, section 5.3): the result is sent,
// but no valid session.
func singlePINSession(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		const name = "X-Pin-Session"
		header := c.Request().Header
		if sent := strings.Join(header.Values(name), ", "); sent == "" {
			header.Del(name)
		} else {
			header.Set(name, sent)
		}
		return next(c)
	}
}

func subject(instance uuid.UUID, customer, identity *uuid.UUID) pin.Subject {
	return pin.Subject{InstanceID: instance, CustomerID: nullUUID(customer), IdentityID: nullUUID(identity)}
}

func nullUUID(id *uuid.UUID) uuid.NullUUID {
	if id == nil {
		return uuid.NullUUID{}
	}
	return uuid.NullUUID{UUID: *id, Valid: true}
}
