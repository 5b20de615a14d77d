// Command pin-admin answers dashboards: who there is, which PINs they have, and what must be confirmed by PIN.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api"
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
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	spec, err := web.LoadSpec(openAPI, directory.CheckEmail)
	if err != nil {
		return err
	}

	surface := &api.API{
		Spec:         spec,
		AccessTokens: caller.NewAccessTokens(db, s.Issuer),
		APIKeys:      caller.APIKeys{DB: db},
		Enroller:     pin.NewEnroller(db, s.ring, slowhash.NewPool(s.HashPermits, s.HashPlaces)),
		Policies:     pin.Policies{DB: db},
		Directory:    directory.Directory{DB: db},
	}
	e := web.New(web.Options{Log: log, Registry: registry, Spec: spec, Away: stores.Away})
	surface.Routes(e)
	ops := web.Operations(registry,
		map[string]web.Check{"postgres": db.PingContext},
		map[string]web.Check{"redis": func(ctx context.Context) error { return redis.Ping(ctx).Err() }})
	return web.Serve(ctx, log, s.ListenAddr, e, s.OpsListenAddr, ops)
}
