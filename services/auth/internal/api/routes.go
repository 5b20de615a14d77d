// Package api is auth's HTTP API: sign-up, sign-in, sign-out, OAuth tokens, a user's own account, exchange keys and
// identity verification.
package api

import (
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/login"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/oauth"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// API answers auth's endpoints.
type API struct {
	Spec         *web.Spec
	AccessTokens *accesstoken.Reader
	APIKeys      credential.Keys
	Accounts     *account.Accounts
	Passwords    *password.Passwords
	Logins       *login.Logins
	Sessions     *usersession.Sessions
	OAuth        *oauth.Tokens
	Factors      *mfa.Factors
	Keys         *signing.Keys
	ExchangeKeys *exchange.Keys
	Limiter      *ratelimit.Limiter
	Rates        Rates
	KYC          *kyc.KYC
	Links        Links

	largeBodies largeBodies
}

// Links are URLs that answers contain.
type Links struct {
	// SignIn is the URL of the sign-in page. If it is empty, answers contain no redirect_url.
	SignIn string
	// Resend is the URL where a user requests another confirmation mail.
	Resend string
}

// Routes registers every endpoint, with the allowed callers beside it. Middlewares run from left to right.
//   - public: no credential is needed in a header.
//   - user: an access token of a live session.
//   - keyOwner: the user who owns the exchange key in the path.
//   - kycVendor: the signature of a configured KYC vendor, or the static token.
//   - optionalClient: OAuth client credentials, if the request contains any; the handler decides.
//   - perAddress(rate), perUser(rate): at most rate requests a minute from one client address or from one user.
func (a *API) Routes(e *echo.Echo) {
	h := gen.ServerInterfaceWrapper{Handler: gen.NewStrictHandler(a, nil)}
	public, user, keyOwner, kycVendor, optionalClient := a.public, a.user, a.keyOwner, a.kycVendor, a.optionalClient
	perAddress, perUser, rates := a.perAddress, a.perUser, a.Rates
	exchangeKey := "/api/v1/api-keys/:id"

	e.POST("/auth/signup", h.Signup, perAddress(rates.Signup), public)
	e.POST("/auth/verify-email", h.VerifyEmail, perAddress(rates.Verify), public) // the body contains the token
	e.POST("/auth/resend-verification", h.ResendVerification, rateLimitAsResendResult, perAddress(rates.Resend), public)
	e.GET("/auth/verification-status", h.GetVerificationStatus, perAddress(rates.Status), public)
	e.POST("/auth/forgot-password", h.ForgotPassword, perAddress(rates.Forgot), public)
	e.POST("/auth/reset-password", h.ResetPassword, perAddress(rates.Reset), public)       // the body contains the token
	e.POST("/auth/new-email", h.RequestNewEmail, user, perUser(rates.Resend))              // a sign-in or step-up within the last 5 minutes
	e.POST("/auth/confirm-new-email", h.ConfirmNewEmail, perAddress(rates.Verify), public) // the body contains the token
	e.POST("/auth/login", h.Login, perAddress(rates.Login), public)
	e.POST("/auth/password", h.ChangePassword, perAddress(rates.Login), user)
	e.POST("/auth/refresh", h.Refresh, perAddress(rates.Refresh), public) // the body contains the refresh token
	e.POST("/auth/logout", h.Logout, public)                              // the body contains the access token

	e.POST("/auth/mfa/challenge", h.AnswerChallenge, perAddress(rates.Challenge), public) // the body contains the challenge token
	e.POST("/auth/step-up", h.StepUp, user, perUser(rates.Challenge))
	e.GET("/auth/mfa", h.GetMFA, user)
	e.POST("/auth/mfa/totp", h.EnrolTOTP, user) // a sign-in or step-up within the last 5 minutes
	e.DELETE("/auth/mfa/totp", h.RemoveTOTP, user, perUser(rates.Challenge))
	e.POST("/auth/mfa/totp/confirm", h.ConfirmTOTP, user, perUser(rates.Challenge))
	e.POST("/auth/mfa/recovery-codes", h.RenewRecoveryCodes, user, perUser(rates.Challenge))

	e.GET("/auth/profile", h.GetProfile, user)
	e.PATCH("/auth/profile", h.ChangeProfile, user)
	e.GET("/auth/sessions", h.ListSessions, user)
	e.DELETE("/auth/sessions", h.EndOtherSessions, user)
	e.DELETE("/auth/sessions/:session_id", h.EndSession, user)
	e.GET("/auth/export", h.ExportAccount, user)
	e.DELETE("/auth/account", h.DeleteAccount, user) // a sign-in or step-up within the last 5 minutes

	e.GET("/api/v1/api-keys", h.ListExchangeKeys, user)
	e.POST("/api/v1/api-keys", h.CreateExchangeKey, user)
	e.PATCH(exchangeKey, h.UpdateExchangeKey, keyOwner)
	e.DELETE(exchangeKey, h.DeleteExchangeKey, keyOwner)
	e.POST(exchangeKey+"/decrypt", h.DecryptExchangeKey, keyOwner, perUser(rates.Decrypt)) // a sign-in or step-up within the last 5 minutes
	e.POST(exchangeKey+"/test-connection", h.TestExchangeKey, keyOwner, perUser(rates.Connection))

	e.GET("/.well-known/jwks.json", h.GetJWKS, public)
	e.GET("/.well-known/oauth-authorization-server", h.GetAuthorizationServer, public)
	e.POST("/oauth/token", h.IssueToken, perAddress(rates.Token), optionalClient)           // the body contains a refresh token, or the client presents an API key
	e.POST("/oauth/introspect", h.IntrospectToken, perAddress(rates.Token), optionalClient) // the client presents an API key
	e.POST("/oauth/revoke", h.RevokeToken, perAddress(rates.Token), optionalClient)         // the body contains the token

	e.POST("/api/kyc/webhook", h.ReceiveKYCEvent, kycVendor)
	e.GET("/api/kyc/health", h.GetKYCHealth, public)
	e.GET("/api/kyc", h.GetKYCStatus, user)
}

// public allows every caller, as anonymous. It validates the request against the OpenAPI document.
func (a *API) public(next echo.HandlerFunc) echo.HandlerFunc {
	next = a.Spec.Validate(next)
	return func(c echo.Context) error {
		setCaller(c, caller.Caller{Kind: caller.Anonymous})
		return next(c)
	}
}

// user allows signed-in users. After that it validates the request against the OpenAPI document.
func (a *API) user(next echo.HandlerFunc) echo.HandlerFunc { return a.signedIn(a.Spec.Validate(next)) }

func (a *API) signedIn(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		token, ok := web.Bearer(c.Request())
		if !ok {
			return caller.ErrNotAuthenticated
		}
		who, err := a.AccessTokens.Authenticate(c.Request().Context(), token)
		if err != nil {
			return err
		}
		setCaller(c, who)
		if who.Kind != caller.User {
			return caller.ErrInvalid // the token is that of an API key, not of a user
		}
		return next(c)
	}
}

// setCaller puts the caller into the request's context, for the handler and the audit trail, and into the log line.
func setCaller(c echo.Context, who caller.Caller) {
	who.RequestID, who.Address = web.RequestID(c), c.RealIP()
	c.SetRequest(c.Request().WithContext(caller.NewContext(c.Request().Context(), who)))
	web.LogAttr(c, "actor_kind", string(who.Kind))
	if who.Kind != caller.Anonymous {
		web.LogAttr(c, "actor_id", who.ID.String())
	}
}
