// Command pin-internal answers agent runtimes on the private network: is a PIN needed, is it the right one, does the
// confirmation still hold.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/pkg/web/ready"
	"github.com/countersign/countersign/services/pin-internal/internal/api"
)

//go:embed openapi.yaml
var openAPI []byte

// patience bounds every request; a verification gets a time of its own once it is charged.
const patience = 10 * time.Second

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "pin-internal")
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

	pool := slowhash.NewPool(s.HashPermits, s.HashPlaces)
	surface := &api.API{
		Spec:      spec,
		Keys:      credential.Keys{DB: db},
		Verifier:  pin.NewVerifier(db, redis, s.ring, pool, s.Budget, registry),
		Enroller:  pin.NewEnroller(db, s.ring, pool),
		Directory: directory.Directory{DB: db},
		Sessions:  session.Store{Redis: redis},
	}
	e := web.New(web.Options{Log: log, Registry: registry, Spec: spec, Away: stores.Away, TrustedProxies: s.proxies, Patience: patience})
	surface.Routes(e)
	ops := web.Operations(registry,
		map[string]web.Check{"postgres": db.PingContext},
		map[string]web.Check{"redis": func(ctx context.Context) error { return redis.Ping(ctx).Err() }})
	return web.Serve(ctx, log, s.ListenAddr, e, s.OpsListenAddr, ops)
}
