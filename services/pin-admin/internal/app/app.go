// Package app is the wiring of pin-admin. The process and the API tests both use it.
package app

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/retention"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/wakeup"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api"
	"github.com/countersign/countersign/services/pin-admin/internal/console"
	"github.com/countersign/countersign/services/pin-admin/internal/decision"
	"github.com/countersign/countersign/services/pin-admin/internal/enrolment"
	"github.com/countersign/countersign/services/pin-admin/internal/knownbrowser"
	"github.com/countersign/countersign/services/pin-admin/internal/pages"
	"github.com/countersign/countersign/services/pin-admin/internal/phrase"
)

// App is pin-admin.
type App struct {
	API  *api.API
	Echo *echo.Echo

	log         *slog.Logger
	receiptKeys *signing.Keys
	pruner      *retention.Pruner
	sweeper     approval.Sweeper
}

// New connects the parts of pin-admin.
func New(s *Settings, r service.Resources) (*App, error) {
	consolePages, err := console.Pages(s.Issuer)
	if err != nil {
		return nil, err
	}
	linkPages, err := pages.All()
	if err != nil {
		return nil, err
	}
	spec, err := web.LoadSpec(r.OpenAPI, directory.CheckEmail)
	if err != nil {
		return nil, err
	}
	receiptKeys := signing.New(signing.Receipts, r.DB, r.Keys, approval.ReceiptKeyLifetime)
	approvalURL, err := approval.ParseURL("APPROVAL_URL", s.ApprovalURL)
	if err != nil {
		return nil, err
	}
	pins := pin.NewStore(r.DB, r.Redis, r.Keys, r.Pool)
	sessions := session.NewStore(session.DefaultConfig, r.Redis, r.Keys, r.Registry)
	verifier := pin.NewVerifier(pin.VerifierConfig{
		DB: r.DB, Redis: r.Redis, Sessions: sessions, Keys: r.Keys, Pool: r.Pool, Budget: s.Budget, Registry: r.Registry,
	})
	a := &App{
		API: &api.API{
			Spec:         spec,
			AccessTokens: accesstoken.NewReader(r.DB, s.Issuer),
			Directory:    directory.Directory{DB: r.DB},
			Keys:         credential.Keys{DB: r.DB},
			PINs:         pins,
			Verifier:     verifier,
			Policies:     policy.Store{DB: r.DB},
			Skills:       skill.Store{DB: r.DB},
			Sessions:     pin.Sessions{DB: r.DB, Store: sessions},
			Trail:        audit.Trail{DB: r.DB, Ring: r.Keys},
			Waiting:      wakeup.NewBoard(r.Redis, r.Log, pin.AwaitSet(r.DB), wakeup.Limits{PerID: s.LongPolls}),
			Limiter:      ratelimit.New(r.Redis, "pin-admin"),
			Rates:        s.Rates,
			ReceiptKeys:  receiptKeys,
			Enrolments:   enrolment.Links{DB: r.DB, PINs: pins},
			ApprovalURL:  approvalURL,
			DB:           r.DB,
			Desk: decision.Desk{
				DB: r.DB, Redis: r.Redis, Verifier: verifier, Skills: skill.Store{DB: r.DB},
				Browsers: knownbrowser.Browsers{DB: r.DB, Secure: approvalURL.Secure()}, UseWithin: s.ApprovalUseWithin,
			},
			Phrases: phrase.Store{DB: r.DB, Ring: r.Keys},
		},
		Echo: web.New(web.Options{
			Log: r.Log, Registry: r.Registry, Spec: spec, Unavailable: stores.Unavailable, ErrorRenderers: api.ErrorRenderers,
			TrustedProxies: r.TrustedProxies, RequestTime: r.RequestTime,
		}),
		log: r.Log, receiptKeys: receiptKeys,
		pruner:  retention.New(r.DB, r.Registry, r.Log, s.Retention.Rules()),
		sweeper: approval.Sweeper{DB: r.DB, Log: r.Log},
	}
	a.API.Routes(a.Echo)
	for _, files := range []map[string]http.Handler{consolePages, linkPages} {
		for path, file := range files {
			a.Echo.GET(path, echo.WrapHandler(file))
		}
	}
	return a, nil
}

// Handler returns the API, the console and the pages of links.
func (a *App) Handler() http.Handler { return a.Echo }

// Run answers requests that wait for a PIN, makes receipt keys before they are needed, writes which approvals have expired, and deletes
// old rows, until ctx ends.
func (a *App) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { a.API.Waiting.Run(ctx) })
	running.Go(func() {
		if err := a.receiptKeys.Prepare(ctx); err != nil {
			a.log.Warn("no receipt key yet: the first receipt will make one", "error", err.Error())
		}
		a.receiptKeys.Run(ctx, a.log)
	})
	running.Go(func() { a.sweeper.Run(ctx) })
	running.Go(func() { a.pruner.Run(ctx) })
	running.Wait()
}
