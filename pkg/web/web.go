// Package web contains the HTTP layer that the services share. It sets up echo and its middlewares, validates requests
// against the OpenAPI document, and turns errors into answers. It contains no rules and no paths of a single service.
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

// Options contain what differs between services.
type Options struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	Spec     *Spec
	// Unavailable reports whether an error means that a store is unreachable or cannot answer now. The answer is then 503.
	Unavailable func(error) bool
	// RequestTime is the deadline of a request's context. 0 means no deadline. A long poll (Later) may answer after it.
	RequestTime time.Duration
	// ErrorRenderers maps path prefixes to the shape of errors below them, also for paths that do not exist. Other errors have
	// FastAPI's shape.
	ErrorRenderers map[string]ErrorRenderer
	// AllowedOrigins are the origins whose pages may call the API from a browser (CORS). By default there are none.
	AllowedOrigins []string
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is trusted. By default there are none.
	TrustedProxies []netip.Prefix
}

// New returns an echo instance with the shared middlewares, /openapi.yaml and /docs. The service adds its own routes. A route
// also answers with a trailing slash in the path.
func New(o Options) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = clientAddress(o.TrustedProxies)
	e.HTTPErrorHandler = answerErrors(o)
	e.Pre(middleware.RemoveTrailingSlash())
	e.Use(forbidCaching, setRequestID, logRequests(o.Log, o.Registry), reportForwarded(o.TrustedProxies, o.Log, o.Registry),
		allowOrigins(o.AllowedOrigins), refuseOptions, limitTime(o.RequestTime))
	e.GET("/openapi.yaml", func(c echo.Context) error { return c.Blob(http.StatusOK, "application/yaml", o.Spec.YAML) })
	e.GET("/docs", docsPage(o.Spec))
	return e
}
