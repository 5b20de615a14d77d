// Package api is pin-admin's HTTP API. Dashboards read and change customers, instances, identities, PINs, policies and keys
// through it. Customers read and change their own PIN.
package api

import (
	"github.com/jmoiron/sqlx"
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/wakeup"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
	"github.com/countersign/countersign/services/pin-admin/internal/decision"
	"github.com/countersign/countersign/services/pin-admin/internal/enrolment"
	"github.com/countersign/countersign/services/pin-admin/internal/phrase"
)

// API answers pin-admin's endpoints.
type API struct {
	Spec         *web.Spec
	AccessTokens *accesstoken.Reader
	Directory    directory.Directory
	Keys         credential.Keys
	PINs         *pin.Store
	Verifier     *pin.Verifier
	Policies     policy.Store
	Skills       skill.Store
	Sessions     pin.Sessions
	Enrolments   enrolment.Links
	// ApprovalURL is the base of the links that people open.
	ApprovalURL approval.URL
	Trail       audit.Trail
	Waiting     *wakeup.Board
	Limiter     *ratelimit.Limiter
	Rates       Rates
	ReceiptKeys *signing.Keys
	// DB reads approvals. Desk opens and decides them.
	DB      *sqlx.DB
	Desk    decision.Desk
	Phrases phrase.Store
}

// Routes registers every endpoint, with the allowed callers beside it.
//   - reader: an admin, or an API key with any scope.
//   - admin: an admin, or an API key with the scope admin.
//   - freshAdmin: as admin, but an admin needs a sign-in or step-up within the last 5 minutes.
//   - user: any signed-in user. freshUser: with a sign-in or step-up within the last 5 minutes.
//   - perUser(rate): at most rate requests a minute from one user.
//   - public: nobody authenticates.
//   - anyCredential: every valid access token or API key; the handler decides.
//   - linkHolder: anybody, at a limited rate; the credential is the token of a link, in the body.
func (a *API) Routes(e *echo.Echo) {
	h := gen.ServerInterfaceWrapper{Handler: gen.NewStrictHandler(a, nil)}
	reader, admin := a.allow(caller.Caller.MayRead), a.allow(caller.Caller.MayChange)
	freshAdmin := a.allow(caller.Caller.MayChange, a.requireFresh)
	public := a.Spec.Validate
	user, anyCredential := a.allow(isUser), a.allow(isAuthenticated)
	linkHolder := a.allowLinkHolder(a.perAddress(a.Rates.Approvals))
	freshUser := a.allow(isUser, a.requireFresh)
	customer, instance := "/v1/customers/:customer_id", "/v1/instances/:instance_id"
	identity := customer + "/identities/:identity_id"

	e.GET("/v1/customers", h.ListCustomers, reader)
	e.POST("/v1/customers", h.CreateCustomer, admin)
	e.GET(customer, h.GetCustomer, reader)
	e.PATCH(customer, h.UpdateCustomer, freshAdmin) // the user with the new address may set the customer's PIN
	e.DELETE(customer, h.DeleteCustomer, admin)
	e.GET("/v1/customers/lookup/identity", h.LookupIdentity, reader)

	e.GET(customer+"/identities", h.ListIdentities, reader)
	e.POST(customer+"/identities", h.CreateIdentity, admin)
	e.GET(identity, h.GetIdentity, reader)
	e.PATCH(identity, h.UpdateIdentity, admin)
	e.DELETE(identity, h.DeleteIdentity, admin)

	e.GET(customer+"/pin", h.GetCustomerPIN, reader)
	e.POST(customer+"/pin", h.SetCustomerPIN, freshAdmin)
	e.DELETE(customer+"/pin", h.RemoveCustomerPIN, freshAdmin)
	e.POST(customer+"/pin/unlock", h.UnlockCustomerPIN, freshAdmin)

	e.GET(identity+"/pin", h.GetIdentityPIN, reader)
	e.POST(identity+"/pin", h.SetIdentityPIN, freshAdmin)
	e.DELETE(identity+"/pin", h.RemoveIdentityPIN, freshAdmin)
	e.POST(identity+"/pin/unlock", h.UnlockIdentityPIN, freshAdmin)

	e.POST(customer+"/pin/enrolment", h.IssueEnrolment, freshAdmin)
	e.POST("/v1/enrolments/open", h.OpenEnrolment, linkHolder)
	e.POST("/v1/enrolments/complete", h.CompleteEnrolment, linkHolder)

	e.GET(customer+"/sessions", h.ListSessions, reader)
	e.DELETE(customer+"/sessions", h.EndSessions, admin)

	e.GET("/v1/instances", h.ListInstances, reader)
	e.POST("/v1/instances", h.CreateInstance, admin)
	e.GET(instance, h.GetInstance, reader)
	e.PATCH(instance, h.UpdateInstance, admin)
	e.DELETE(instance, h.DeleteInstance, admin)
	e.GET(instance+"/pin-policy", h.GetPINPolicy, anyCredential) // readers and the instance's owner
	e.PATCH(instance+"/pin-policy", h.UpdatePINPolicy, freshAdmin)

	e.GET(instance+"/skills", h.ListSkills, reader)
	e.POST(instance+"/skills/preview", h.PreviewSkill, reader)
	e.GET(instance+"/skills/:skill", h.GetSkill, reader)
	e.PUT(instance+"/skills/:skill", h.PutSkill, freshAdmin)
	e.DELETE(instance+"/skills/:skill", h.RemoveSkill, freshAdmin)

	e.GET(instance+"/proxy-keys", h.ListProxyKeys, reader)
	e.POST(instance+"/proxy-keys", h.IssueProxyKey, freshAdmin)
	e.DELETE(instance+"/proxy-keys/:key_id", h.RevokeProxyKey, admin)
	e.GET("/v1/api-keys", h.ListAPIKeys, reader)
	e.POST("/v1/api-keys", h.IssueAPIKey, freshAdmin)
	e.DELETE("/v1/api-keys/:key_id", h.RevokeAPIKey, admin)

	e.GET("/v1/audit", h.ListAudit, reader)
	e.GET("/.well-known/countersign-receipts.json", h.GetReceiptKeys, public)

	e.POST("/v1/approvals/open", h.OpenApproval, linkHolder)
	e.POST("/v1/approvals/decide", h.DecideApproval, linkHolder)
	e.GET("/v1/approvals", h.ListApprovals, reader)
	e.GET("/v1/approvals/:approval_id", h.GetApproval, reader)
	e.GET("/v1/me/approvals", h.ListMyApprovals, user)
	e.POST("/v1/me/approvals/:approval_id/decide", h.DecideMyApproval, user, a.perUser(a.Rates.MyPIN))

	e.GET("/v1/me/phrase", h.GetMyPhrase, user)
	e.PUT("/v1/me/phrase", h.SetMyPhrase, freshUser)
	e.DELETE("/v1/me/phrase", h.RemoveMyPhrase, freshUser)
	e.PUT(customer+"/phrase", h.SetCustomerPhrase, freshAdmin)
	e.DELETE(customer+"/phrase", h.RemoveCustomerPhrase, freshAdmin)

	e.GET("/v1/me/pin", h.GetMyPIN, user)
	// With the current PIN, or a sign-in or step-up within the last 5 minutes:
	e.PUT("/v1/me/pin", h.SetMyPIN, user, a.perUser(a.Rates.MyPIN))
	e.DELETE("/v1/me/pin", h.RemoveMyPIN, user, a.perUser(a.Rates.MyPIN))
	e.GET("/user/pin", h.AwaitMyPIN, user)
}

func isUser(c caller.Caller) bool { return c.Kind == caller.User }

func isAuthenticated(caller.Caller) bool { return true }

// requireFresh refuses a user whose last sign-in or step-up was more than 5 minutes ago. The time comes from the row of the
// sign-in session, not from the token, so a step-up counts at once and an old token cannot claim a later one. API keys pass.
func (a *API) requireFresh(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx := c.Request().Context()
		stale := caller.RequireFresh(ctx)
		if stale == nil {
			return next(c)
		}
		refused := map[string]any{"method": c.Request().Method, "route": c.Path(), "why": "not_fresh"}
		if err := audit.RecordRefusedAccess(ctx, a.Trail.DB, refused); err != nil {
			return err
		}
		return stale
	}
}

// allow authenticates the caller and answers 403 unless may is true. Then it runs the further checks. After that it validates the
// request against the OpenAPI document.
func (a *API) allow(may func(caller.Caller) bool, checks ...echo.MiddlewareFunc) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		next = a.Spec.Validate(next)
		for _, check := range checks {
			next = check(next)
		}
		return func(c echo.Context) error {
			who, err := a.authenticate(c)
			if err != nil {
				return err
			}
			who.RequestID, who.Address = web.RequestID(c), c.RealIP()
			web.LogAttr(c, "actor_kind", string(who.Kind), "actor_id", who.ID.String())
			ctx := caller.NewContext(c.Request().Context(), who)
			if !may(who) {
				if err := audit.RecordRefusedAccess(ctx, a.Trail.DB, map[string]any{"method": c.Request().Method, "route": c.Path()}); err != nil {
					return err
				}
				return caller.ErrForbidden
			}
			c.SetRequest(c.Request().WithContext(ctx))
			return next(c)
		}
	}
}

// allowLinkHolder names the caller as a person who followed a link, for the audit trail. It runs the check, and validates the request
// against the OpenAPI document. It does not look at credentials: a browser that is signed in may follow a link too. It reads the
// browser's cookie.
func (a *API) allowLinkHolder(check echo.MiddlewareFunc) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		next = check(a.Spec.Validate(next))
		return func(c echo.Context) error {
			holder := caller.Caller{Kind: caller.Link, RequestID: web.RequestID(c), Address: c.RealIP()}
			web.LogAttr(c, "actor_kind", string(holder.Kind))
			ctx := caller.NewContext(c.Request().Context(), holder)
			c.SetRequest(c.Request().WithContext(a.Desk.Browsers.NewContext(ctx, c.Request())))
			return next(c)
		}
	}
}

// authenticate reads the caller from the Authorization header or, when that header is absent, from X-Api-Key. An invalid
// Authorization header is refused even if the API key is valid.
func (a *API) authenticate(c echo.Context) (caller.Caller, error) {
	ctx, header := c.Request().Context(), c.Request().Header
	if header.Get(echo.HeaderAuthorization) != "" {
		text, ok := web.Bearer(c.Request())
		if !ok {
			return caller.Caller{}, caller.ErrNotAuthenticated
		}
		return a.AccessTokens.Authenticate(ctx, text)
	}
	if key := header.Get("X-Api-Key"); key != "" {
		return a.Keys.AuthenticateAPIKey(ctx, key)
	}
	return caller.Caller{}, caller.ErrNotAuthenticated
}
