package web

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/fault"
)

// statuses maps each kind of failure to its HTTP status.
var statuses = map[fault.Kind]int{
	fault.Invalid:         http.StatusUnprocessableEntity,
	fault.Malformed:       http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.RateLimited:     http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
}

var (
	errTooLarge    = fault.New(fault.TooLarge, "body_too_large", "Request body too large")
	errInternal    = &fault.Error{Code: "internal", Text: "Internal Server Error"}
	errUnavailable = fault.New(fault.Unavailable, "unavailable", "Temporarily unavailable, try again shortly").RetryAfter(time.Second)
)

// ErrorAnswer is what a client is told about an error.
type ErrorAnswer struct {
	Status     int
	Code, Text string
	// LockedUntil is the end of the lock that the error reports, or zero.
	LockedUntil time.Time
	// Issues is not empty if the request is invalid (422).
	Issues []Issue
}

// ErrorCodeHeader has the code of every error, in whatever shape the body is.
const ErrorCodeHeader = "X-Error-Code"

// ErrorRenderer writes an error in the shape that an API has for its errors. The headers Retry-After, WWW-Authenticate and
// Allow are already set.
type ErrorRenderer func(echo.Context, ErrorAnswer) error

// RenderFastAPI writes an error in FastAPI's shape: {"detail": text} or {"detail": [issue, …]}. An error 409, 429 or 503 also has
// a code, because what a program does next depends on the cause. For example, it must distinguish an attempt that was not charged
// from one whose outcome is unknown.
func RenderFastAPI(c echo.Context, a ErrorAnswer) error { return c.JSON(a.Status, fastAPIBody(a)) }

func fastAPIBody(a ErrorAnswer) map[string]any {
	if len(a.Issues) > 0 {
		return map[string]any{"detail": a.Issues}
	}
	body := map[string]any{"detail": a.Text}
	switch a.Status {
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		body["code"] = a.Code
	}
	if !a.LockedUntil.IsZero() {
		body["locked_until"] = a.LockedUntil
	}
	return body
}

// answerErrors answers every error that a handler returns.
func answerErrors(o Options) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		status, failure, issues := classify(err, o.Unavailable)
		header := c.Response().Header()
		header.Set(ErrorCodeHeader, failure.Code)
		switch status {
		case http.StatusUnauthorized:
			header.Set(echo.HeaderWWWAuthenticate, strings.TrimSpace("Bearer "+failure.Challenge))
		case http.StatusMethodNotAllowed:
			if allow, ok := c.Get(echo.ContextKeyHeaderAllow).(string); ok {
				header.Set(echo.HeaderAllow, strings.TrimPrefix(allow, "OPTIONS, "))
			}
		}
		if failure.After > 0 {
			header.Set(echo.HeaderRetryAfter, RetryAfter(failure.After))
		}
		render := RenderFastAPI
		for prefix, own := range o.ErrorRenderers {
			if strings.HasPrefix(c.Request().URL.Path, prefix) {
				render = own
			}
		}
		if err := render(c, ErrorAnswer{status, failure.Code, failure.Text, failure.LockedUntil, issues}); err != nil {
			o.Log.Warn("answer not sent", "request_id", RequestID(c), "error", err.Error())
		}
	}
}

// classify returns the status of an error and what the client is told. An error without a kind is a 500 without detail.
func classify(err error, unavailable func(error) bool) (int, *fault.Error, []Issue) {
	var invalid *Invalid
	var failure *fault.Error
	var httpError *echo.HTTPError
	switch {
	case errors.As(err, &invalid):
		return http.StatusUnprocessableEntity, &fault.Error{Code: "invalid", Text: "The request is not valid"}, invalid.Issues
	case errors.As(err, &failure):
		status, known := statuses[failure.Kind]
		if !known {
			return http.StatusInternalServerError, errInternal, nil
		}
		if failure.Kind == fault.Invalid {
			return status, failure, []Issue{bodyIssue(failure)}
		}
		return status, failure, nil
	case errors.As(err, &httpError) && httpError.Code < http.StatusInternalServerError:
		text := http.StatusText(httpError.Code)
		return httpError.Code, &fault.Error{Code: strings.ReplaceAll(strings.ToLower(text), " ", "_"), Text: text}, nil
	// Canceled means that the client disconnected. That is not an internal error.
	case unavailable(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, errUnavailable, nil
	}
	return http.StatusInternalServerError, errInternal, nil
}

// SetRateLimit sets the headers that tell a client the state of a rate limit: the number of requests that are allowed and left in
// this minute, and the seconds until it ends.
func SetRateLimit(c echo.Context, limit, remaining int, reset time.Duration) {
	header := c.Response().Header()
	header.Set("RateLimit-Limit", strconv.Itoa(limit))
	header.Set("RateLimit-Remaining", strconv.Itoa(remaining))
	header.Set("RateLimit-Reset", RetryAfter(reset))
}

// RetryAfter formats a duration for the Retry-After header: whole seconds, rounded up, at least 1.
func RetryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
