// Package app is the wiring of pin-internal. The process and the API tests both use it.
package app

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/wakeup"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-internal/internal/api"
)

// requestTime bounds every request. A verification gets time of its own after it has charged an attempt.
const requestTime = 10 * time.Second

// waitsPerApproval is how many requests may wait for one approval at one replica. An agent needs one.
const waitsPerApproval = 10

// App is pin-internal.
type App struct {
	API  *api.API
	Echo *echo.Echo
}

// New connects the parts of pin-internal.
func New(s *Settings, r service.Resources) (*App, error) {
	spec, err := web.LoadSpec(r.OpenAPI, directory.CheckEmail)
	if err != nil {
		return nil, err
	}
	links, err := approval.ParseURL("APPROVAL_URL", s.ApprovalURL)
	if err != nil {
		return nil, err
	}
	issuer, err := s.receiptIssuer()
	if err != nil {
		return nil, err
	}
	sessions := session.NewStore(s.Sessions, r.Redis, r.Keys, r.Registry)
	verifier := pin.NewVerifier(pin.VerifierConfig{
		DB: r.DB, Redis: r.Redis, Sessions: sessions, Keys: r.Keys, Pool: r.Pool, Budget: s.Budget, Registry: r.Registry,
	})
	a := &App{
		Echo: web.New(web.Options{
			Log: r.Log, Registry: r.Registry, Spec: spec, Unavailable: stores.Unavailable,
			TrustedProxies: r.TrustedProxies, RequestTime: requestTime,
		}),
		API: &api.API{
			Spec:      spec,
			Keys:      credential.Keys{DB: r.DB},
			Verifier:  verifier,
			PINs:      pin.NewStore(r.DB, r.Redis, r.Keys, r.Pool),
			Directory: directory.Directory{DB: r.DB},
			Sessions:  pin.Sessions{DB: r.DB, Store: sessions},
			DB:        r.DB,
			Redis:     r.Redis,
			PINKeys:   r.Keys,
			Links:     links,
			Asker:     approval.NewAsker(r.DB, verifier, r.Keys, s.Approvals),
			Uses:      approval.NewUses(r.DB, r.Keys, sessions, issuer.String()),
			Answers:   wakeup.NewBoard(r.Redis, r.Log, approval.AwaitAnswer(r.DB), wakeup.Limits{PerID: waitsPerApproval, PerGroup: s.Waits}),
		},
	}
	a.API.Routes(a.Echo)
	return a, nil
}

// Handler returns the API.
func (a *App) Handler() http.Handler { return a.Echo }

// Run answers requests that wait for approvals, until ctx ends.
func (a *App) Run(ctx context.Context) { a.API.Answers.Run(ctx) }
