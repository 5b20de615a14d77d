package web

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/fault"
)

func TestErrorBodiesHaveACodeWhereProgramsNeedIt(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, rule := range []struct {
		name   string
		err    error
		status int
		body   string
	}{
		{"not found", fault.New(fault.NotFound, "x_missing", "Text"), 404, `{"detail":"Text"}`},
		{"forbidden", fault.New(fault.Forbidden, "x_forbidden", "Text"), 403, `{"detail":"Text"}`},
		{"conflict", fault.New(fault.Conflict, "x_taken", "Text"), 409, `{"code":"x_taken","detail":"Text"}`},
		{"conflict with the end of a lock", fault.New(fault.Conflict, "x_locked", "Text").Until(end), 409,
			`{"code":"x_locked","detail":"Text","locked_until":"2026-01-02T03:04:05Z"}`},
		{"rate limit", fault.New(fault.RateLimited, "x_limited", "Text").RetryAfter(time.Minute), 429, `{"code":"x_limited","detail":"Text"}`},
		{"unavailable", errUnavailable, 503, `{"code":"unavailable","detail":"Temporarily unavailable, try again shortly"}`},
		{"wrong method", echo.ErrMethodNotAllowed, 405, `{"detail":"Method Not Allowed"}`},
	} {
		recorder := httptest.NewRecorder()
		c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), recorder)
		answerErrors(Options{Unavailable: func(error) bool { return false }})(rule.err, c)
		if got := strings.TrimSpace(recorder.Body.String()); recorder.Code != rule.status || got != rule.body {
			t.Errorf("%s: %d %s, want %d %s", rule.name, recorder.Code, got, rule.status, rule.body)
		}
	}
}
