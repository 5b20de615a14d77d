// Command auth is the service where people sign up and sign in. It issues the access tokens that the dashboards' services
// take; those check them by the keys in the database, and go on while auth is away.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/pkg/web/ready"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/api"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/pages"
	"github.com/countersign/countersign/services/auth/internal/signing"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "auth")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log); err != nil {
		log.Error("stopped", "error", err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	s, err := loadSettings()
	if err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	if len(os.Args) > 1 && os.Args[1] == "health" {
		return ready.Ask(ctx, s.OpsListenAddr) // of the service that runs beside, in the same container
	}
	db, err := stores.OpenPostgres(s.PostgresConfig)
	if err != nil {
		return err
	}
	defer db.Close()
	redis, err := stores.OpenRedis(s.RedisConfig)
	if err != nil {
		return err
	}
	defer redis.Close()
	slowhash.MakeRoom(s.HashPermits)
	// A hash takes more memory than all the rest: at 100 % every other one would wait for the garbage of the one before, and
	// logins that take turns, at a known address and an unknown one, seem to take 20 % more or less than each other.
	debug.SetGCPercent(400)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	spec, err := web.LoadSpec(openAPI, directory.CheckEmail)
	if err != nil {
		return err
	}

	keys, tokens := signing.New(db, s.ring, s.SigningKeyLifetime), accesstoken.NewReader(db, s.PublicURL)
	pool, outbox := slowhash.NewPool(s.HashPermits, s.HashPlaces), mail.NewOutbox(s.ring)
	factors := mfa.New(db, s.ring, s.Budget, s.PublicURL)
	sandbox, closeSandbox, err := exchange.ServeSandbox()
	if err != nil {
		return err
	}
	defer closeSandbox()
	accounts := account.New(s.Config, s.PublicURL, db, s.ring, keys, tokens, pool, factors, outbox, registry)
	surface := &api.API{
		Spec:         spec,
		AccessTokens: tokens,
		APIKeys:      credential.Keys{DB: db},
		Accounts:     accounts,
		Factors:      factors,
		Keys:         keys,
		ExchangeKeys: &exchange.Keys{DB: db, Ring: s.ring, Connections: exchange.NewConnections(sandbox)},
		Lifetimes:    s.Config,
		Issuer:       s.PublicURL,
		Limiter:      ratelimit.New(redis),
		Rates:        s.Rates,
		KYC:          kyc.New(s.KYC, db, registry),
		Links:        api.Links{SignIn: s.SignInURL, Resend: strings.TrimSuffix(s.PublicURL, "/") + "/auth/resend-verification"},
	}
	e := web.New(web.Options{Log: log, Registry: registry, Spec: spec, Away: stores.Away, AllowedOrigins: s.AllowedOrigins, TrustedProxies: s.proxies})
	surface.Routes(e)
	for path, page := range pages.All() {
		e.GET(path, echo.WrapHandler(page))
	}
	ops := web.Operations(registry,
		map[string]web.Check{"postgres": db.PingContext},
		map[string]web.Check{"redis": func(ctx context.Context) error { return redis.Ping(ctx).Err() }})

	if err := keys.Prepare(ctx); err != nil {
		log.Warn("no signing key yet: the first sign-in will make one", "error", err.Error())
	}
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { keys.Run(ctx, log) })
	background.Go(func() { accounts.Forget(ctx, log) })
	background.Go(func() { mail.NewSender(s.Mail, s.PublicURL, db, outbox, log, registry).Run(ctx) })
	return web.Serve(ctx, log, s.ListenAddr, e, s.OpsListenAddr, ops)
}
