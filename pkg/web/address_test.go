package web

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no X-Forwarded-For", "203.0.113.7:4000", nil, "203.0.113.7"},
		{"a client forges X-Forwarded-For", "203.0.113.7:4000", []string{"198.51.100.1"}, "203.0.113.7"},
		{"a proxy without X-Forwarded-For", "10.0.0.1:4000", nil, "10.0.0.1"},
		{"one proxy", "10.0.0.1:4000", []string{"203.0.113.7"}, "203.0.113.7"},
		{"a proxy appends to a forged entry", "10.0.0.1:4000", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		{"a proxy appends a second header", "10.0.0.1:4000", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		{"two proxies", "10.0.0.1:4000", []string{"203.0.113.7, 10.9.9.9"}, "203.0.113.7"},
		{"a forged entry with a proxy's address", "10.0.0.1:4000", []string{"198.51.100.1, 10.9.9.9, 203.0.113.7"}, "203.0.113.7"},
		{"all addresses are proxies", "10.0.0.1:4000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"an entry that is not an address", "10.0.0.1:4000", []string{"203.0.113.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"an empty entry", "10.0.0.1:4000", []string{"203.0.113.7,"}, "10.0.0.1"},
		{"an entry with a port", "10.0.0.1:4000", []string{"203.0.113.7:80"}, "203.0.113.7"},
		{"IPv6", "[fd00::1]:4000", []string{"2001:DB8::0:7"}, "2001:db8::7"},
		{"IPv6, an entry with a port", "[fd00::1]:4000", []string{"[2001:db8::7]:80"}, "2001:db8::7"},
		{"IPv4 within IPv6", "[::ffff:10.0.0.1]:4000", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"an address with a zone", "[fe80::1%eth0]:4000", nil, "fe80::1"},
		{"no remote address", "", []string{"203.0.113.7"}, ""},
	} {
		if got := clientAddress(trustedProxies)(requestFrom(rule.peer, rule.forwarded...)); got != rule.want {
			t.Errorf("%s: got %q, want %q", rule.name, got, rule.want)
		}
	}
}

func TestIgnoredForwardedForIsCountedAndLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	report := reportForwarded(trustedProxies, slog.New(slog.NewTextHandler(&log, nil)), registry)
	handled := 0
	handler := report(func(echo.Context) error { handled++; return nil })
	for _, r := range []*http.Request{
		requestFrom("203.0.113.7:4000", "198.51.100.1"), requestFrom("203.0.113.7:4000"), requestFrom("10.0.0.1:4000", "198.51.100.1"),
		requestFrom("203.0.113.8:4000", ""), requestFrom("", "198.51.100.1"),
	} {
		if err := handler(echo.New().NewContext(r, httptest.NewRecorder())); err != nil {
			t.Error(err)
		}
	}
	metrics, err := registry.Gather()
	if err != nil || len(metrics) != 1 || metrics[0].GetName() != ForwardedIgnored || metrics[0].GetMetric()[0].GetCounter().GetValue() != 3 || handled != 5 {
		t.Errorf("%v, %v, %d requests handled", metrics, err, handled)
	}
	if text := log.String(); strings.Count(text, "TRUSTED_PROXIES") != 1 || strings.Contains(text, "203.0.113") || strings.Contains(text, "198.51.100") {
		t.Errorf("the log is %q", text)
	}
}
