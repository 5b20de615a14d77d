package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/fault"
)

// statuses is the one table that turns a failure into HTTP.
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
	errTooLarge = fault.New(fault.TooLarge, "body_too_large", "Request body too large")
	errInternal = &fault.Error{Code: "internal", Text: "Internal Server Error"}
	errAway     = fault.New(fault.Unavailable, "unavailable", "Temporarily unavailable, try again shortly").RetryAfter(time.Second)
)

// Where errors have another shape than FastAPI's: that of JSON:API, and that of OAuth.
const (
	jsonAPIPrefix = "/user/"
	oauthPrefix   = "/oauth/"
)

// answerError renders every error of every handler. away reports whether a store that cannot be reached is behind it.
func answerError(log *slog.Logger, away func(error) bool) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		status, failure, issues := classify(err, away)
		header := c.Response().Header()
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
		if err := render(c, status, failure, issues); err != nil {
			log.Warn("answer not sent", "request_id", RequestID(c), "error", err.Error())
		}
	}
}

func classify(err error, away func(error) bool) (int, *fault.Error, []Issue) {
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
			return status, failure, []Issue{ownRule(failure)}
		}
		return status, failure, nil
	case errors.As(err, &httpError) && httpError.Code < http.StatusInternalServerError:
		text := http.StatusText(httpError.Code)
		return httpError.Code, &fault.Error{Code: strings.ReplaceAll(strings.ToLower(text), " ", "_"), Text: text}, nil
	// A client that hung up hears nothing; its request is no fault of ours either.
	case away(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, errAway, nil
	}
	return http.StatusInternalServerError, errInternal, nil
}

func render(c echo.Context, status int, failure *fault.Error, issues []Issue) error {
	path := c.Request().URL.Path
	switch reached := status != http.StatusNotFound && status != http.StatusMethodNotAllowed; {
	case strings.HasPrefix(path, jsonAPIPrefix):
		return renderJSONAPI(c, status, failure, issues)
	case strings.HasPrefix(path, oauthPrefix) && reached:
		return renderOAuth(c, status, failure, issues)
	}
	if len(issues) > 0 {
		return c.JSON(status, map[string]any{"detail": issues})
	}
	return c.JSON(status, map[string]any{"detail": failure.Text})
}

const jsonAPIType = "application/vnd.api+json"

// renderJSONAPI writes a failure as JSON:API has it. What is wrong with a request is 400 there.
func renderJSONAPI(c echo.Context, status int, failure *fault.Error, issues []Issue) error {
	if len(issues) > 0 {
		status = http.StatusBadRequest
	}
	c.Response().Header().Set(echo.HeaderContentType, jsonAPIType)
	return c.JSON(status, jsonAPIErrors(RequestID(c), status, failure, issues))
}

// jsonAPIErrors is an error object of JSON:API 1.0 (jsonapi.org/format/1.0/#error-objects) for each issue, or one for the
// failure.
func jsonAPIErrors(requestID string, status int, failure *fault.Error, issues []Issue) map[string]any {
	object := func(detail string) map[string]any {
		return map[string]any{"id": requestID, "title": failure.Text, "detail": detail, "status": strconv.Itoa(status), "code": failure.Code}
	}
	if len(issues) == 0 {
		return map[string]any{"errors": []any{object(failure.Text)}}
	}
	var objects []any
	for _, issue := range issues {
		o := object(issue.Msg)
		if len(issue.Loc) == 2 && issue.Loc[0] == "query" {
			o["source"] = map[string]any{"parameter": issue.Loc[1]}
		}
		objects = append(objects, o)
	}
	return map[string]any{"errors": objects}
}

// renderOAuth writes a failure as RFC 6749 has it (section 5.2). What is wrong with a request is 400 there, and a client that
// is none is asked for its credentials.
func renderOAuth(c echo.Context, status int, failure *fault.Error, issues []Issue) error {
	code, text := failure.Code, failure.Text
	switch {
	case len(issues) > 0:
		status, code = http.StatusBadRequest, "invalid_request"
		text = strings.Trim(fmt.Sprint(issues[0].Loc[1:]), "[]") + ": " + issues[0].Msg
	case status == http.StatusRequestEntityTooLarge:
		code = "invalid_request"
	case status == http.StatusUnauthorized:
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Basic realm="countersign", charset="UTF-8"`)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		code = "temporarily_unavailable"
	case status == http.StatusInternalServerError:
		code = "server_error"
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(status, map[string]any{"error": code, "error_description": strings.TrimPrefix(text, ": ")})
}

// RetryAfter formats a wait for the header of that name: whole seconds, rounded up.
func RetryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
