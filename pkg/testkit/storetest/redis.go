package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// Redis returns the URL of the Redis that all tests share. Tests use random ids in their keys, so they do not affect each other.
func Redis(t testing.TB) string {
	t.Helper()
	return server(t, "TEST_REDIS_URL")
}

// RedisClient returns a client with long timeouts, so that a test does not fail because the machine is busy. The client is closed
// at the end of the test.
func RedisClient(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("parsing the URL of Redis: %v", err)
	}
	options.ReadTimeout, options.WriteTimeout, options.PoolTimeout, options.MaxRetries = time.Minute, time.Minute, time.Minute, -1
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

// RedisServer is a Redis that only one test uses. The test may flush, stop, freeze and start it.
type RedisServer struct {
	// URL stays the same after Stop and Start.
	URL string

	t       testing.TB
	options localstores.Options
	server  *localstores.Server
}

// OwnRedis starts a Redis for the test and stops it at the end of the test. settings are additional lines of its configuration.
func OwnRedis(t testing.TB, settings ...string) *RedisServer {
	t.Helper()
	// Not t.TempDir: if the test runs as root, the server runs as another user, which cannot enter the folders of t.TempDir.
	folder, err := os.MkdirTemp("", "countersign-test-redis-")
	if err != nil {
		t.Fatalf("creating a folder: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatalf("making the folder accessible: %v", err)
	}
	s := &RedisServer{t: t, options: localstores.Options{Folder: folder, RedisSettings: settings}}
	s.Start()
	address, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatalf("parsing the URL of Redis: %v", err)
	}
	s.URL = s.server.URL
	s.options.Port, _ = strconv.Atoi(address.Port()) // localstores puts a port into the URL
	t.Cleanup(func() {
		if s.server != nil {
			s.Stop()
		}
	})
	return s
}

// Start starts the server again after Stop. It has the same port and no data.
func (s *RedisServer) Start() {
	s.t.Helper()
	server, err := localstores.StartRedis(context.Background(), s.options)
	if err != nil {
		s.t.Fatalf("starting Redis: %v", err)
	}
	s.server = server
}

// Stop kills the server. Its data is lost.
func (s *RedisServer) Stop() {
	s.t.Helper()
	server := s.server
	s.server = nil
	if err := server.Stop(); err != nil {
		s.t.Errorf("stopping Redis: %v", err)
	}
}

// Pause freezes the server. It still accepts connections but does not answer.
func (s *RedisServer) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
}

// Resume ends Pause.
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

// RedisAs returns a URL that connects to the Redis of another URL with the privileges of a service's user, for example
// schema.RoleAuth. Users belong to the whole server, so the name of the user also depends on its rules.
func RedisAs(t testing.TB, address, role string) string {
	t.Helper()
	rules := redisuser.Rules(role)
	sum := sha256.Sum256([]byte(strings.Join(rules, " ")))
	name := "test_" + role + "_" + hex.EncodeToString(sum[:4])
	if err := redisuser.Create(context.Background(), RedisClient(t, address), name, name, rules); err != nil {
		t.Fatal(err)
	}
	as, err := redisuser.URLAs(address, name, name)
	if err != nil {
		t.Fatal(err)
	}
	return as
}
