// Package web is the HTTP edge that the services share: what every request passes through, how a request is held against the OpenAPI document, and how an error becomes an answer. It knows no PINs.
package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

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
