package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

const logAttrsKey = "log_attrs"

// LogAttr adds keys and values to the request's log line. Values are ids and constants, never text that a client sent.
func LogAttr(c echo.Context, attrs ...any) {
	have, _ := c.Get(logAttrsKey).([]any)
	c.Set(logAttrsKey, append(have, attrs...))
}

// StatusClientClosed is the status in the log and the metric when the client disconnects before the answer. It is never sent.
const StatusClientClosed = 499

// Later is the error that a handler returns after it has taken over the connection (http.Hijacker). Answer then runs in a
// goroutine of its own. It writes the answer and returns its status, and the error that caused it or nil. The request is logged and
// measured after that.
type Later struct {
	Answer func() (status int, err error)
}

func (*Later) Error() string { return "the answer is sent later" }

// logRequests writes one log line and one observation of http_request_seconds for each request. Both contain the route's
// pattern, never the URL. A panic of a handler becomes a 500.
func logRequests(log *slog.Logger, registry prometheus.Registerer) echo.MiddlewareFunc {
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
			// After a later answer, c belongs to another request. So report must not use c.
			report := func(status int, err error) {
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
				go func() { report(later.Answer()) }()
				return nil
			}
			if err != nil {
				c.Error(err)
			}
			report(c.Response().Status, err)
			return nil
		}
	}
}

// knownMethod keeps a method that a client made up out of the log and out of the metric's labels.
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
