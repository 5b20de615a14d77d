// Command pin-admin answers dashboards: who there is, which PINs they have, and what must be confirmed by PIN.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/pkg/web/ready"
	"github.com/countersign/countersign/services/pin-admin/internal/api"
	"github.com/countersign/countersign/services/pin-admin/internal/console"
	"github.com/countersign/countersign/services/pin-admin/internal/wakeup"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "pin-admin")
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
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	spec, err := web.LoadSpec(openAPI, directory.CheckEmail)
	if err != nil {
		return err
	}

	pages, err := console.Pages(s.Issuer)
	if err != nil {
		return err
	}

	waiting := wakeup.NewBoard(db, redis, log)
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { waiting.Run(ctx) })
	pool := slowhash.NewPool(s.HashPermits, s.HashPlaces)
	surface := &api.API{
		Spec:         spec,
		AccessTokens: accesstoken.NewReader(db, s.Issuer),
		Directory:    directory.Directory{DB: db},
		Keys:         credential.Keys{DB: db},
		Enroller:     pin.NewEnroller(db, s.ring, pool),
		Verifier:     pin.NewVerifier(db, redis, s.ring, pool, s.Budget, registry),
		Policies:     pin.Policies{DB: db},
		Sessions:     pin.Sessions{DB: db, Store: session.Store{Redis: redis}},
		Trail:        audit.Trail{DB: db, Ring: s.ring},
		Waiting:      waiting,
	}
	e := web.New(web.Options{Log: log, Registry: registry, Spec: spec, Away: stores.Away, TrustedProxies: s.proxies})
	surface.Routes(e)
	for path, page := range pages {
		e.GET(path, echo.WrapHandler(page))
	}
	ops := web.Operations(registry,
		map[string]web.Check{"postgres": db.PingContext},
		map[string]web.Check{"redis": func(ctx context.Context) error { return redis.Ping(ctx).Err() }})
	return web.Serve(ctx, log, s.ListenAddr, e, s.OpsListenAddr, ops)
}
