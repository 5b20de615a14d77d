package web_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/web"
)

func TestRequestTimeEndsWith503(t *testing.T) {
	t.Parallel()
	spec, err := web.LoadSpec([]byte("openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {}\n"), func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	e := web.New(web.Options{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Spec: spec,
		Unavailable: func(error) bool { return false }, RequestTime: 10 * time.Millisecond})
	e.GET("/", func(c echo.Context) error {
		store, cancel := context.WithTimeout(c.Request().Context(), time.Minute)
		defer cancel()
		<-store.Done()
		return store.Err()
	})
	answer := httptest.NewRecorder()
	e.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", answer.Code, answer.Header().Get("Retry-After"))
	}
	if body := answer.Body.String(); !strings.Contains(body, `"code":"unavailable"`) {
		t.Errorf("a 503 without its code: %s", body)
	}
}
