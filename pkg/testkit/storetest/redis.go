package storetest

import (
	"context"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// Redis returns the URL of the Redis that all tests share. Their keys are made of random ids, so they do not meet.
func Redis(t testing.TB) string {
	t.Helper()
	return server(t, "TEST_REDIS_URL")
}

// RedisClient connects to a Redis that must not be taken for one that is away, only because the machine is busy. It
// closes when the test is over.
func RedisClient(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("reading the address of Redis: %v", err)
	}
	options.ReadTimeout, options.WriteTimeout, options.PoolTimeout, options.MaxRetries = time.Minute, time.Minute, time.Minute, -1
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

// RedisServer is a Redis that one test has to itself, to flush, stop, freeze and start again.
type RedisServer struct {
	// URL stays the same over a Stop and a Start.
	URL string

	t       testing.TB
	options localstores.Options
	server  *localstores.Server
}

// OwnRedis starts a Redis for the test and stops it when the test is over. settings are further lines of its
// configuration.
func OwnRedis(t testing.TB, settings ...string) *RedisServer {
	t.Helper()
	// Not t.TempDir: it closes its folders to the user that the server runs as when we are root.
	folder, err := os.MkdirTemp("", "countersign-test-redis-")
	if err != nil {
		t.Fatalf("making a folder: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatalf("opening the folder: %v", err)
	}
	s := &RedisServer{t: t, options: localstores.Options{Folder: folder, RedisSettings: settings}}
	s.Start()
	address, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatalf("reading the address of Redis: %v", err)
	}
	s.URL = s.server.URL
	s.options.Port, _ = strconv.Atoi(address.Port()) // it has a port
	t.Cleanup(func() {
		if s.server != nil {
			s.Stop()
		}
	})
	return s
}

// Start starts the server again after Stop, empty, on the same port.
func (s *RedisServer) Start() {
	s.t.Helper()
	server, err := localstores.StartRedis(context.Background(), s.options)
	if err != nil {
		s.t.Fatalf("starting Redis: %v", err)
	}
	s.server = server
}

// Stop kills the server, and with it all that it held.
func (s *RedisServer) Stop() {
	s.t.Helper()
	server := s.server
	s.server = nil
	if err := server.Stop(); err != nil {
		s.t.Errorf("stopping Redis: %v", err)
	}
}

// Pause freezes the server: it accepts connections and answers nothing.
func (s *RedisServer) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
}

// Resume lets a frozen server go on.
func (s *RedisServer) Resume() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *RedisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.server.Signal(sig); err != nil {
		s.t.Fatalf("signalling Redis: %v", err)
	}
}
