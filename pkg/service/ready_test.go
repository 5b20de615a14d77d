package service

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAskReady(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	defer ops.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(ops.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "127.0.0.1:" + port} {
		if err := AskReady(t.Context(), addr); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	status = http.StatusServiceUnavailable
	if AskReady(t.Context(), ":"+port) == nil {
		t.Error("a service that answers 503 counts as ready")
	}
	ops.Close()
	if AskReady(t.Context(), ":"+port) == nil {
		t.Error("a service that is stopped counts as ready")
	}
	if AskReady(t.Context(), "9081") == nil {
		t.Error("an address without a port counts as ready")
	}
}
