package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	requestIDKey = "request_id"
	logAttrsKey  = "log_attrs"
)

// RequestID returns the id of a request, which its answer carries as X-Request-Id.
func RequestID(c echo.Context) string {
	id, _ := c.Get(requestIDKey).(string)
	return id
}

// LogAttr adds to the request's log line. Values are ids and words of our own, never what a client sent.
func LogAttr(c echo.Context, attrs ...any) {
	have, _ := c.Get(logAttrsKey).([]any)
	c.Set(logAttrsKey, append(have, attrs...))
}

// identify gives a request its id: the caller's own when it is a UUID, so that a trail can be followed across services,
// else a new one.
func identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := uuid.Parse(c.Request().Header.Get(echo.HeaderXRequestID))
		if err != nil {
			id = uuid.New()
		}
		c.Set(requestIDKey, id.String())
		c.Response().Header().Set(echo.HeaderXRequestID, id.String())
		return next(c)
	}
}

// observe writes one log line and one measurement for each request, with the route's pattern and never the URL.
func observe(log *slog.Logger, registry prometheus.Registerer) echo.MiddlewareFunc {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_seconds", Help: "Time to answer, by route and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60},
	}, []string{"method", "route", "status"})
	registry.MustRegister(seconds)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start, method := time.Now(), knownMethod(c.Request().Method)
			err := recovered(next, c)
			route := c.Path()
			if route == "" {
				route = "none"
			}
			more, _ := c.Get(logAttrsKey).([]any)
			attrs := append([]any{"request_id", RequestID(c), "method", method, "route", route}, more...)
			// The context belongs to another request by the time that a later answer is reported.
			report := func(status int) {
				took := time.Since(start)
				seconds.WithLabelValues(method, route, fmt.Sprint(status)).Observe(took.Seconds())
				level, attrs := slog.LevelInfo, append(attrs, "status", status, "duration_ms", float64(took.Microseconds())/1000)
				if err != nil && status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
					attrs = append(attrs, "error", err.Error())
					if level = slog.LevelWarn; status == http.StatusInternalServerError {
						level = slog.LevelError
					}
				}
				log.Log(context.Background(), level, "request", attrs...)
			}
			if later := (*Later)(nil); errors.As(err, &later) {
				later.then(report)
				return nil
			}
			if err != nil {
				c.Error(err)
			}
			report(c.Response().Status)
			return nil
		}
	}
}

// knownMethod keeps a made-up method, which is text of the client's, out of the log and the labels.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

func recovered(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r == http.ErrAbortHandler {
				panic(r)
			}
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return next(c)
}

// bounded ends what a request waits for. Each statement is bounded already; together, and with the wait for a connection,
// they could take for ever.
func bounded(patience time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		if patience == 0 {
			return next
		}
		return func(c echo.Context) error {
			ctx, cancel := context.WithTimeout(c.Request().Context(), patience)
			defer cancel()
			c.SetRequest(c.Request().WithContext(ctx))
			return next(c)
		}
	}
}

// refuseOptions answers OPTIONS as the wrong method it is: echo would answer it by itself.
func refuseOptions(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Method == http.MethodOptions && c.Get(echo.ContextKeyHeaderAllow) != nil {
			return echo.ErrMethodNotAllowed
		}
		return next(c)
	}
}

// Bearer returns the token of an Authorization header of that scheme; false when there is none.
func Bearer(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}
