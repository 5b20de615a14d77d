// Package service runs a service as a process: settings, logger, signals, stores, metrics, the operations port, background
// work and shutdown. What the service does is in its App.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
)

// ShutdownTime is the longest time between a signal and the end of the process: running requests and background work must
// end within it.
const ShutdownTime = 15 * time.Second

// Resources are the parts of a process that the wiring of a service needs.
type Resources struct {
	Log      *slog.Logger
	DB       *sqlx.DB
	Redis    redis.UniversalClient
	Pool     *slowhash.Pool
	Registry *prometheus.Registry
	// Keys is the service's keyring.
	Keys *keyring.Ring
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For is trusted.
	TrustedProxies []netip.Prefix
	// RequestTime is the deadline of a request. A service may set a shorter one.
	RequestTime time.Duration
	// OpenAPI is the service's OpenAPI document, in YAML.
	OpenAPI []byte
}

// App is what one service does.
type App interface {
	// Handler answers the requests to the API.
	Handler() http.Handler
	// Run does the background work. After ctx ends, it stops the work and returns when the work has ended.
	Run(ctx context.Context)
}

// settings is implemented by a struct that embeds Settings and has a keyring.
type settings interface {
	shared() *Settings
	// Ring returns the keyring of the service.
	Ring() (*keyring.Ring, error)
	Validate() error
}

// Main is the main function of the service called name. It runs the App that newApp makes, until SIGINT or SIGTERM. With the
// argument "health" it instead asks the service that runs in the same container whether it is ready. The exit code is 0
// after an orderly stop or for a ready service, else 1. s contains the defaults that are not in its tags; Main loads the rest.
func Main[S settings, A App](name string, openAPI []byte, s S, newApp func(S, Resources) (A, error)) {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", name)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, log, os.Args[1:], openAPI, s, newApp); err != nil {
		log.Error("stopped", "error", err.Error())
		os.Exit(1)
	}
}

func command[S settings, A App](ctx context.Context, log *slog.Logger, args []string, openAPI []byte, s S, newApp func(S, Resources) (A, error)) error {
	health := len(args) == 1 && args[0] == "health"
	if len(args) > 0 && !health {
		return errors.New(`unknown arguments: the only argument is "health"`)
	}
	if err := Load(s); err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	if health {
		return AskReady(ctx, s.shared().OpsListenAddr)
	}
	return Run(ctx, log, openAPI, s, newApp)
}

// Run runs a service until ctx ends or a listener fails. It returns nil after an orderly stop.
func Run[S settings, A App](ctx context.Context, log *slog.Logger, openAPI []byte, s S, newApp func(S, Resources) (A, error)) error {
	shared := s.shared()
	db, err := stores.OpenPostgres(shared.PostgresConfig)
	if err != nil {
		return err
	}
	defer db.Close()
	redis, err := stores.OpenRedis(shared.RedisConfig)
	if err != nil {
		return err
	}
	defer redis.Close()
	keys, err := s.Ring()
	if err != nil {
		return err
	}
	proxies, err := shared.proxies()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	permits := shared.permits() // before RaiseGOMAXPROCS, which changes GOMAXPROCS
	slowhash.RaiseGOMAXPROCS(permits)
	app, err := newApp(s, Resources{Log: log, DB: db, Redis: redis, Pool: slowhash.NewPool(permits, shared.HashPlaces), Registry: registry,
		Keys: keys, TrustedProxies: proxies, RequestTime: requestTime, OpenAPI: openAPI})
	if err != nil {
		return err
	}
	ops := operations(registry,
		map[string]check{"postgres": db.PingContext},
		map[string]check{"redis": func(ctx context.Context) error { return redis.Ping(ctx).Err() }})
	servers, err := listen(newServer(log, shared.ListenAddr, app.Handler()), newServer(log, shared.OpsListenAddr, ops))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	background := make(chan struct{})
	go func() {
		defer close(background)
		app.Run(ctx)
	}()
	log.Info("ready", "addr", shared.ListenAddr, "ops_addr", shared.OpsListenAddr)
	select {
	case err = <-servers.failed:
	case <-ctx.Done():
	}
	log.Info("stopping")
	stop()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTime)
	defer cancel()
	err = errors.Join(err, servers.shutDown(deadline))
	select {
	case <-background:
		return err
	case <-deadline.Done():
		return errors.Join(err, errors.New("the background work did not end in time"))
	}
}
