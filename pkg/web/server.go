// Package web is the HTTP edge that the services share: how a server starts and stops, what every request passes
// through, how a request is held against the OpenAPI document, and how an error becomes an answer. It knows no PINs.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

// ShutdownTime is how long requests that are under way may take to finish once a service was told to stop.
const ShutdownTime = 15 * time.Second

// Options say what differs between services.
type Options struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	Spec     *Spec
	// Away reports whether an error means that a store cannot be reached: 503 and not 500.
	Away func(error) bool
	// Patience is how long a request may wait for stores; 0: for as long as they let it, as long polls do.
	Patience time.Duration
	// AllowedOrigins are those of other sites' pages that may ask from a browser; none unless named.
	AllowedOrigins []string
	// TrustedProxies are those whose X-Forwarded-For says where a request comes from; none unless named.
	TrustedProxies []netip.Prefix
}

// New makes the echo instance of a service: request ids, the log line, panics, errors, both spellings of a trailing slash,
// /openapi.yaml and /docs. Routes are the service's to add.
func New(o Options) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = clientAddress(o.TrustedProxies)
	e.HTTPErrorHandler = answerError(o.Log, o.Away)
	e.Pre(middleware.RemoveTrailingSlash())
	e.Use(identify, observe(o.Log, o.Registry), admitOrigins(o.AllowedOrigins), refuseOptions, bounded(o.Patience))
	e.GET("/openapi.yaml", func(c echo.Context) error { return c.Blob(http.StatusOK, "application/yaml", o.Spec.YAML) })
	e.GET("/docs", docsPage(o.Spec))
	return e
}

// Serve answers on both addresses, the API's and the operations', until ctx ends; then it stops accepting and gives
// requests ShutdownTime to finish. It returns nil after an orderly stop.
func Serve(ctx context.Context, log *slog.Logger, addr string, api http.Handler, opsAddr string, ops http.Handler) error {
	servers := []*http.Server{newServer(log, addr, api), newServer(log, opsAddr, ops)}
	failed := make(chan error, len(servers))
	for _, server := range servers {
		listener, err := net.Listen("tcp", server.Addr)
		if err != nil {
			return errors.Join(fmt.Errorf("listening on %s: %w", server.Addr, err), servers[0].Close())
		}
		go func() { failed <- server.Serve(listener) }()
	}
	log.Info("ready", "addr", addr, "ops_addr", opsAddr)
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTime)
	defer cancel()
	var problems []error
	for _, server := range servers {
		if err := server.Shutdown(deadline); err != nil {
			problems = append(problems, fmt.Errorf("stopping %s: %w", server.Addr, err), server.Close())
		}
	}
	return errors.Join(problems...)
}

func newServer(log *slog.Logger, addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
