// Package api is auth's surface: what people may ask to sign up, to sign in and out, and to see of themselves.
package api

import (
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/signing"
)

// API answers auth's endpoints.
type API struct {
	Spec         *web.Spec
	AccessTokens *accesstoken.Reader
	APIKeys      credential.Keys
	Accounts     *account.Accounts
	Factors      *mfa.Factors
	Keys         *signing.Keys
	ExchangeKeys *exchange.Keys
	// Lifetimes are those of the tokens that Accounts issues, Issuer the public URL that they name.
	Lifetimes account.Config
	Issuer    string
	Limiter   *ratelimit.Limiter
	Rates     Rates
	KYC       *kyc.KYC
	Links     Links
}

// Links are URLs in answers.
type Links struct {
	// SignIn is the page where people sign in; empty: the deployment names none.
	SignIn string
	// Resend is where another confirmation mail is asked for.
	Resend string
}

// Routes is the whole surface, with who may call beside each line. anyone: no credential in a header. user: whoever shows
// an access token of a session that lives. owner: the user whose exchange key the path names. vendor: who signs as a KYC
// vendor that is configured, or shows the static token. perMinute: how often.
func (a *API) Routes(e *echo.Echo) {
	h := gen.ServerInterfaceWrapper{Handler: gen.NewStrictHandler(a, nil)}
	anyone, user, owner, vendor, perMinute, rates := a.anyone, a.user, a.owner, a.vendor, a.perMinute, a.Rates
	exchangeKey := "/api/v1/api-keys/:id"

	e.POST("/auth/signup", h.Signup, perMinute(rates.Signup), anyone)
	e.POST("/auth/verify-email", h.VerifyEmail, perMinute(rates.Verify), anyone) // who holds the token in the body
	e.POST("/auth/resend-verification", h.ResendVerification, tooSoon, perMinute(rates.Resend), anyone)
	e.GET("/auth/verification-status", h.GetVerificationStatus, perMinute(rates.Status), anyone)
	e.POST("/auth/forgot-password", h.ForgotPassword, perMinute(rates.Forgot), anyone)
	e.POST("/auth/reset-password", h.ResetPassword, perMinute(rates.Reset), anyone) // who holds the token in the body
	e.POST("/auth/login", h.Login, perMinute(rates.Login), anyone)
	e.POST("/auth/password", h.ChangePassword, perMinute(rates.Login), user)
	e.POST("/auth/refresh", h.Refresh, perMinute(rates.Refresh), anyone) // who holds the refresh token in the body
	e.POST("/auth/logout", h.Logout, anyone)                             // who holds the access token in the body

	e.POST("/auth/mfa/challenge", h.AnswerChallenge, perMinute(rates.Challenge), anyone) // who holds the challenge token in the body
	e.POST("/auth/step-up", h.StepUp, user, perMinute(rates.Challenge))
	e.GET("/auth/mfa", h.GetMFA, user)
	e.POST("/auth/mfa/totp", h.EnrolTOTP, user) // who proved the session within the last 5 minutes
	e.DELETE("/auth/mfa/totp", h.RemoveTOTP, user, perMinute(rates.Challenge))
	e.POST("/auth/mfa/totp/confirm", h.ConfirmTOTP, user, perMinute(rates.Challenge))
	e.POST("/auth/mfa/recovery-codes", h.RenewRecoveryCodes, user, perMinute(rates.Challenge))

	e.GET("/auth/profile", h.GetProfile, user)
	e.PATCH("/auth/profile", h.ChangeProfile, user)
	e.GET("/auth/sessions", h.ListSessions, user)
	e.DELETE("/auth/sessions", h.EndOtherSessions, user)
	e.DELETE("/auth/sessions/:session_id", h.EndSession, user)
	e.GET("/auth/export", h.ExportAccount, user)
	e.DELETE("/auth/account", h.DeleteAccount, user) // who signed in within the last 5 minutes

	e.GET("/api/v1/api-keys", h.ListExchangeKeys, user)
	e.POST("/api/v1/api-keys", h.CreateExchangeKey, user)
	e.PATCH(exchangeKey, h.UpdateExchangeKey, owner)
	e.DELETE(exchangeKey, h.DeleteExchangeKey, owner)
	e.POST(exchangeKey+"/decrypt", h.DecryptExchangeKey, owner, perMinute(rates.Decrypt)) // who has signed in just now
	e.POST(exchangeKey+"/test-connection", h.TestExchangeKey, owner, perMinute(rates.Connection))

	e.GET("/.well-known/jwks.json", h.GetJWKS, anyone)
	e.GET("/.well-known/oauth-authorization-server", h.GetAuthorizationServer, anyone)
	e.POST("/oauth/token", h.IssueToken, perMinute(rates.Token), a.oauth)           // who holds the refresh token in the body, or an API key
	e.POST("/oauth/introspect", h.IntrospectToken, perMinute(rates.Token), a.oauth) // who holds an API key
	e.POST("/oauth/revoke", h.RevokeToken, perMinute(rates.Token), a.oauth)         // who holds the token in the body

	e.POST("/api/kyc/webhook", h.ReceiveKYCEvent, vendor)
	e.GET("/api/kyc/health", h.GetKYCHealth, anyone)
	e.GET("/api/kyc", h.GetKYCStatus, user)
}

// anyone lets everybody through, as anonymous, and holds the request against the spec.
func (a *API) anyone(next echo.HandlerFunc) echo.HandlerFunc {
	next = a.Spec.Validate(next)
	return func(c echo.Context) error {
		carry(c, caller.Caller{Kind: caller.Anonymous})
		return next(c)
	}
}

// user lets through who is signed in, and then holds the request against the spec.
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
		carry(c, who)
		if who.Kind != caller.User {
			return caller.ErrInvalid // an API key is nobody here
		}
		return next(c)
	}
}

// carry hands the caller to the handler, to the audit trail and to the log line.
func carry(c echo.Context, who caller.Caller) {
	who.RequestID, who.Address = web.RequestID(c), c.RealIP()
	c.SetRequest(c.Request().WithContext(caller.NewContext(c.Request().Context(), who)))
	web.LogAttr(c, "actor_kind", string(who.Kind))
	if who.Kind != caller.Anonymous {
		web.LogAttr(c, "actor_id", who.ID.String())
	}
}
