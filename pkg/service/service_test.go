package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// fakeApp is a service with one page, and with background work that takes some time to end.
type fakeApp struct{ workEnded atomic.Bool }

func (a *fakeApp) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the API") })
}

func (a *fakeApp) Run(ctx context.Context) {
	<-ctx.Done()
	time.Sleep(50 * time.Millisecond)
	a.workEnded.Store(true)
}

// testSettings are the settings of fakeApp.
type testSettings struct{ Settings }

func (*testSettings) Ring() (*keyring.Ring, error) {
	return keyring.Parse("one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
}

// freeAddress returns an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// start runs a service with its API and operations port on free addresses. stop stops it and returns the error of Run.
func start(t *testing.T, a *fakeApp, s *testSettings) (stop func() error) {
	t.Helper()
	s.ListenAddr, s.OpsListenAddr = freeAddress(t), freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	newApp := func(_ *testSettings, r Resources) (*fakeApp, error) {
		if string(r.OpenAPI) != "the document" || r.Keys.Current() != "one" || len(r.TrustedProxies) != 1 {
			t.Errorf("got the resources %q, %v, %v", r.OpenAPI, r.Keys.IDs(), r.TrustedProxies)
		}
		if r.RequestTime <= readTime || r.RequestTime >= writeTime {
			t.Errorf("the deadline of requests is %s", r.RequestTime)
		}
		return a, nil
	}
	go func() { ended <- Run(ctx, slog.New(slog.DiscardHandler), []byte("the document"), s, newApp) }()
	for {
		if conn, err := net.Dial("tcp", s.OpsListenAddr); err == nil {
			conn.Close()
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the service did not start: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(ShutdownTime):
			t.Fatal("the service did not end in time")
			return nil
		}
	}
}

func TestServiceStartsAnswersAndStops(t *testing.T) {
	var a fakeApp
	s := &testSettings{Settings{
		PostgresConfig: stores.PostgresConfig{URL: storetest.Postgres(t).URL, Connections: 2},
		RedisConfig:    stores.RedisConfig{URL: storetest.Redis(t)},
		HashPlaces:     1,
		TrustedProxies: []string{"10.0.0.0/8"},
	}}
	stop := start(t, &a, s)
	if status, body := get(t, "http://"+s.ListenAddr); status != http.StatusOK || body != "the API" {
		t.Errorf("the API answers %d %s", status, body)
	}
	if status, body := get(t, "http://"+s.OpsListenAddr+"/healthz"); status != http.StatusOK || !strings.Contains(body, `"process":"ok"`) {
		t.Errorf("/healthz answers %d %s", status, body)
	}
	if status, body := get(t, "http://"+s.OpsListenAddr+"/readyz"); status != http.StatusOK || !strings.Contains(body, `"postgres":"ok"`) {
		t.Errorf("/readyz answers %d %s", status, body)
	}
	if status, body := get(t, "http://"+s.OpsListenAddr+"/metrics"); status != http.StatusOK || !strings.Contains(body, "go_goroutines") {
		t.Errorf("/metrics answers %d %s", status, body)
	}
	if a.workEnded.Load() {
		t.Error("the background work ended before the service was stopped")
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if !a.workEnded.Load() {
		t.Error("the background work is still running")
	}
	if _, err := http.Get("http://" + s.ListenAddr); err == nil {
		t.Error("the API still answers")
	}
}

func TestServiceIsNotReadyWithoutPostgres(t *testing.T) {
	unused := freeAddress(t)
	s := &testSettings{Settings{
		PostgresConfig: stores.PostgresConfig{URL: "postgres://" + unused + "/gone", Connections: 2},
		RedisConfig:    stores.RedisConfig{URL: "redis://" + unused},
		HashPlaces:     1,
		TrustedProxies: []string{"10.0.0.0/8"},
	}}
	stop := start(t, &fakeApp{}, s)
	if status, body := get(t, "http://"+s.OpsListenAddr+"/readyz"); status != http.StatusServiceUnavailable ||
		!strings.Contains(body, `"postgres":"unreachable"`) || !strings.Contains(body, `"redis":"unreachable"`) {
		t.Errorf("/readyz answers %d %s", status, body)
	}
	if status, _ := get(t, "http://"+s.OpsListenAddr+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d", status)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestServiceNeedsFreeAddresses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := &testSettings{Settings{PostgresConfig: stores.PostgresConfig{URL: "postgres://127.0.0.1/x"}, RedisConfig: stores.RedisConfig{URL: "redis://127.0.0.1"},
		HashPlaces: 1, ListenAddr: freeAddress(t), OpsListenAddr: listener.Addr().String()}}
	newApp := func(*testSettings, Resources) (*fakeApp, error) { return &fakeApp{}, nil }
	if err := Run(t.Context(), slog.New(slog.DiscardHandler), nil, s, newApp); err == nil || !strings.Contains(err.Error(), s.OpsListenAddr) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownArgumentsAreRefused(t *testing.T) {
	newApp := func(*testSettings, Resources) (*fakeApp, error) { return &fakeApp{}, nil }
	for _, args := range [][]string{{"--help"}, {"health", "now"}} {
		if err := command(t.Context(), slog.New(slog.DiscardHandler), args, nil, &testSettings{}, newApp); err == nil || !strings.Contains(err.Error(), "health") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestHealthCommandAsksTheRunningService(t *testing.T) {
	status := http.StatusOK
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer ops.Close()
	t.Setenv("DATABASE_URL", "postgres://127.0.0.1/x")
	t.Setenv("REDIS_URL", "redis://127.0.0.1")
	t.Setenv("OPS_LISTEN_ADDR", strings.TrimPrefix(ops.URL, "http://"))
	newApp := func(*testSettings, Resources) (*fakeApp, error) {
		return nil, errors.New("the health command started a service")
	}
	health := func() error {
		return command(t.Context(), slog.New(slog.DiscardHandler), []string{"health"}, nil, &testSettings{}, newApp)
	}
	if err := health(); err != nil {
		t.Errorf("a ready service: %v", err)
	}
	status = http.StatusServiceUnavailable
	if health() == nil {
		t.Error("a service that is not ready counts as ready")
	}
}
