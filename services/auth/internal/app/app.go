// Package app is the wiring of auth. The process and the API tests both use it.
package app

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/retention"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/login"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/oauth"
	"github.com/countersign/countersign/services/auth/internal/pages"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// App is auth.
type App struct {
	API    *api.API
	Echo   *echo.Echo
	Outbox *mail.Outbox
	// CloseSandbox stops the sandbox exchange, which New starts.
	CloseSandbox func()

	log    *slog.Logger
	sender *mail.Sender
	pruner *retention.Pruner
}

// New connects the parts of auth.
func New(s *Settings, r service.Resources) (*App, error) {
	spec, err := web.LoadSpec(r.OpenAPI, directory.CheckEmail)
	if err != nil {
		return nil, err
	}
	sandbox, closeSandbox, err := exchange.ServeSandbox()
	if err != nil {
		return nil, err
	}
	keys, tokens := signing.New(signing.AccessTokens, r.DB, r.Keys, s.SigningKeyLifetime), accesstoken.NewReader(r.DB, s.PublicURL)
	outbox := mail.NewOutbox(r.Keys)
	charger := budget.NewCharger(r.DB)
	factors := mfa.New(r.DB, charger, r.Keys, s.MFABudget, s.PublicURL)
	networks := &network.Networks{DB: r.DB, Ring: r.Keys}
	passwords := password.New(s.PasswordBudget, r.DB, charger, r.Pool, networks, r.Registry)
	sessions := &usersession.Sessions{Config: s.Config, Issuer: s.PublicURL, DB: r.DB, Ring: r.Keys, SigningKeys: keys, AccessTokens: tokens}
	a := &App{
		API: &api.API{
			Spec:         spec,
			AccessTokens: tokens,
			APIKeys:      credential.Keys{DB: r.DB},
			Accounts:     &account.Accounts{DB: r.DB, Passwords: passwords, Networks: networks, Outbox: outbox},
			Passwords:    passwords,
			Logins:       &login.Logins{DB: r.DB, Passwords: passwords, Sessions: sessions, Factors: factors, Networks: networks},
			Sessions:     sessions,
			OAuth:        &oauth.Tokens{DB: r.DB, Sessions: sessions, AccessTokens: tokens},
			Factors:      factors,
			Keys:         keys,
			ExchangeKeys: &exchange.Keys{DB: r.DB, Ring: r.Keys, Connections: exchange.NewConnections(sandbox)},
			Limiter:      ratelimit.New(r.Redis, "auth"),
			Rates:        s.Rates,
			KYC:          kyc.New(s.KYC, r.DB, r.Registry),
			Links:        api.Links{SignIn: s.SignInURL, Resend: strings.TrimSuffix(s.PublicURL, "/") + "/auth/resend-verification"},
		},
		Echo:         web.New(web.Options{Log: r.Log, Registry: r.Registry, Spec: spec, Unavailable: stores.Unavailable, ErrorRenderers: api.ErrorRenderers, AllowedOrigins: s.AllowedOrigins, TrustedProxies: r.TrustedProxies, RequestTime: r.RequestTime}),
		Outbox:       outbox,
		CloseSandbox: closeSandbox,
		log:          r.Log,
		sender:       mail.NewSender(s.Mail, s.PublicURL, r.DB, outbox, r.Log, r.Registry),
		pruner:       retention.New(r.DB, r.Registry, r.Log, s.Retention.Rules()),
	}
	if names := s.KYC.Vendors.WithoutLevels(); len(names) > 0 {
		r.Log.Warn("an approval at any verification level counts: set KYC_…_LEVELS", "vendors", names)
	}
	a.API.Routes(a.Echo)
	for path, page := range pages.All() {
		a.Echo.GET(path, echo.WrapHandler(page))
	}
	return a, nil
}

// Handler returns the API and the pages to which links in mails lead.
func (a *App) Handler() http.Handler { return a.Echo }

// Run makes signing keys before they are needed, sends mails and deletes old rows, until ctx ends.
func (a *App) Run(ctx context.Context) {
	defer a.CloseSandbox()
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.API.Keys.Prepare(ctx); err != nil {
			a.log.Warn("no signing key yet: the first sign-in will make one", "error", err.Error())
		}
		a.API.Keys.Run(ctx, a.log)
	})
	running.Go(func() { a.pruner.Run(ctx) })
	running.Go(func() { a.sender.Run(ctx) })
	running.Wait()
}
