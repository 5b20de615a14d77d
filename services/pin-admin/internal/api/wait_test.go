package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

func TestLongPollUntilAPINIsSet(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, access := s.signedInCustomer()
	absent := s.Want(s.as(access, "GET", "/user/pin", nil), 404)
	s.Fields(absent, object{"errors.0.status": "404", "errors.0.code": "pin-not-set", "errors.0.id": absent.Header.Get("X-Request-Id")})
	if got := absent.Header.Get("Content-Type"); got != "application/vnd.api+json" {
		t.Errorf("Content-Type %q", got)
	}
	expired := s.Want(s.as(access, "GET", "/user/pin?timeout=1", nil), 404) // after the timeout
	s.Fields(expired, object{"errors.0.status": "404", "errors.0.code": "pin-not-set", "errors.0.id": expired.Header.Get("X-Request-Id")})

	answers := make(chan webtest.Answer)
	for range 9 {
		go func() {
			a, err := s.Try(webtest.Request{Method: "GET", Path: "/user/pin/?timeout=60", Header: map[string]string{"Authorization": "Bearer " + access}})
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
	}
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	for range 9 {
		if a := <-answers; a.Status != 200 || a.Body != "" || a.Header.Get("X-Request-Id") == "" {
			t.Errorf("%d %q", a.Status, a.Body)
		}
	}
	s.Want(s.as(access, "GET", "/user/pin?timeout=60", nil), 200)
	s.Want(s.as(access, "GET", "/user/pin", nil), 200)
}

func TestInvalidLongPollsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	_, access := s.signedInCustomer()
	stranger, _ := s.signIn("stranger@example.com", "user")
	for _, rule := range []struct {
		name, method, path string
		header             map[string]string
		status             int
		code, parameter    any
	}{
		{"no credential", "GET", "/user/pin", nil, 401, "not_authenticated", nil},
		{"an invalid token", "GET", "/user/pin?timeout=x", map[string]string{"Authorization": "Bearer x"}, 401, "invalid_credentials", nil},
		{"an API key", "GET", "/user/pin", map[string]string{"X-Api-Key": s.apiKey.Reveal()}, 403, "forbidden", nil},
		{"a user who is not a customer", "GET", "/user/pin?timeout=60", map[string]string{"Authorization": "Bearer " + stranger}, 401, "missing-linked-identity", nil},
		{"a timeout of 0", "GET", "/user/pin?timeout=0", nil, 400, "invalid", "timeout"},
		{"a timeout of 61", "GET", "/user/pin?timeout=61", nil, 400, "invalid", "timeout"},
		{"a timeout of -1", "GET", "/user/pin?timeout=-1", nil, 400, "invalid", "timeout"},
		{"a timeout of x", "GET", "/user/pin?timeout=x", nil, 400, "invalid", "timeout"},
		{"an empty timeout", "GET", "/user/pin?timeout=", nil, 400, "invalid", "timeout"},
		{"a timeout of 1.5", "GET", "/user/pin?timeout=1.5", nil, 400, "invalid", "timeout"},
		{"two timeouts", "GET", "/user/pin?timeout=1&timeout=2", nil, 400, "invalid", "timeout"},
		{"another method", "PUT", "/user/pin", nil, 405, "method_not_allowed", nil},
		{"another path", "GET", "/user/nothing", nil, 404, "not_found", nil},
	} {
		header := rule.header
		if header == nil && rule.name != "no credential" {
			header = map[string]string{"Authorization": "Bearer " + access}
		}
		a := s.Do(webtest.Request{Method: rule.method, Path: rule.path, Header: header})
		if a.Status != rule.status || a.JSON("errors.0.code") != rule.code || a.JSON("errors.0.source.parameter") != rule.parameter ||
			a.Header.Get("Content-Type") != "application/vnd.api+json" {
			t.Errorf("%s: %d %s %s", rule.name, a.Status, a.Header.Get("Content-Type"), a.Body)
		}
	}
}

func TestLongPollIsAnsweredWhenTheServiceStops(t *testing.T) {
	t.Parallel()
	s := newService(t)
	_, access := s.signedInCustomer()
	answer := make(chan webtest.Answer)
	go func() {
		a, _ := s.Try(webtest.Request{Method: "GET", Path: "/user/pin?timeout=60", Header: map[string]string{"Authorization": "Bearer " + access}})
		answer <- a
	}()
	s.stop()
	if a := <-answer; a.Status != 404 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestLongPollEndsWhenTheClientDisconnects(t *testing.T) {
	t.Parallel()
	s := newService(t)
	_, access := s.signedInCustomer()
	ctx, disconnect := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, "GET", s.URL()+"/user/pin?timeout=60", nil)
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+access)
	done := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(request)
		done <- err
	}()
	for s.board.Waiting() == 0 {
		runtime.Gosched()
	}
	disconnect()
	if <-done == nil {
		t.Error("the request was answered")
	}
	for s.board.Waiting() > 0 {
		runtime.Gosched()
	}
}

func TestTooManyLongPollsOfAUserAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t, func(s *app.Settings) { s.LongPolls = 3 })
	customer, access := s.signedInCustomer()
	poll := webtest.Request{Method: "GET", Path: "/user/pin?timeout=60", Header: map[string]string{"Authorization": "Bearer " + access}}
	answers := make(chan webtest.Answer)
	for range 3 {
		go func() {
			a, _ := s.Try(poll)
			answers <- a
		}()
	}
	for s.board.Waiting() < 3 {
		runtime.Gosched()
	}
	refused := s.Want(s.Do(poll), 429)
	s.Fields(refused, object{"errors.0.status": "429", "errors.0.code": "too-many-waiting", "errors.0.id": refused.Header.Get("X-Request-Id")})
	if refused.Header.Get("Content-Type") != "application/vnd.api+json" || refused.Header.Get("Retry-After") != "5" {
		t.Errorf("got %v", refused.Header)
	}
	s.Want(s.as(access, "GET", "/user/pin", nil), 404) // it does not wait
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	for range 3 {
		if a := <-answers; a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	s.Want(s.Do(poll), 200)
}

// unbuffered is a listener whose connections have no buffers: a write ends only when the other side reads. Over TCP, an answer of
// this size would always fit into the buffers of the kernel.
type unbuffered struct {
	net.Listener
	accepted chan net.Conn
}

func (l unbuffered) Accept() (net.Conn, error) {
	c, open := <-l.accepted
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

// request sends a GET and returns the connection, from which nothing was read.
func (l unbuffered) request(t *testing.T, path, access string) net.Conn {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	l.accepted <- server
	_, err := fmt.Fprintf(client, "GET %s HTTP/1.1\r\nHost: pin-admin\r\nAuthorization: Bearer %s\r\n\r\n", path, access)
	must(t, err)
	return client
}

func TestClientThatDoesNotReadDelaysNobody(t *testing.T) {
	t.Parallel()
	const slow = 5
	s := newService(t)
	customer, access := s.signedInCustomer()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	listener := unbuffered{closed, make(chan net.Conn)}
	server := &http.Server{Handler: s.app.Handler()}
	go server.Serve(listener)
	t.Cleanup(func() {
		close(listener.accepted)
		server.Close()
	})
	listener.request(t, "/openapi.yaml", access)
	var silent []net.Conn
	for range slow {
		silent = append(silent, listener.request(t, "/user/pin?timeout=60", access))
	}
	reader := listener.request(t, "/user/pin?timeout=60", access)
	for s.board.Waiting() < slow+1 {
		runtime.Gosched()
	}
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	answer, err := http.ReadResponse(bufio.NewReader(reader), nil)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%v, %v", answer, err)
	}
	if s.board.Waiting() < slow {
		t.Error("the answer came after the answers to clients that do not read")
	}
	s.Want(s.as(access, "GET", "/user/pin?timeout=60", nil), 200)
	for _, c := range silent {
		c.Close()
	}
	for s.board.Waiting() > 0 {
		runtime.Gosched()
	}
}

// In a pool without permits, a request waits for a hash until its deadline. A long poll has its own time.
func TestRequestTimeEndsOtherRequestsThanLongPolls(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, access := s.signedInCustomer()
	log := &webtest.Log{}
	resources := webtest.Resources(t, log, webtest.Postgres(t, s.database.URLAs(schema.RolePinAdmin)), s.redis)
	resources.RequestTime, resources.Pool = 300*time.Millisecond, slowhash.NewPool(0, 10)
	settings := app.DefaultSettings()
	settings.Issuer, settings.ApprovalURL, settings.MyPIN, settings.LongPolls = issuer, approvalURL, 10, 1
	slow, err := app.New(settings, resources)
	must(t, err)
	server := webtest.Serve(t, slow.API.Spec, log, slow.Handler())
	a := server.Do(webtest.Request{Method: "POST", Path: "/v1/customers/" + customer.String() + "/pin", Body: object{"pin": goodPIN}, Header: map[string]string{"X-Api-Key": s.apiKey.Reveal()}})
	if a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a = server.Do(webtest.Request{Method: "GET", Path: "/user/pin?timeout=1", Header: map[string]string{"Authorization": "Bearer " + access}})
	if a.Status != 404 || a.JSON("errors.0.code") != "pin-not-set" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// BenchmarkLongPollMemory measures the memory of one waiting request: of the endpoint, which takes the connection over, and
// of a plain handler that waits on a channel.
func BenchmarkLongPollMemory(b *testing.B) {
	b.Run("endpoint", func(b *testing.B) {
		s := newService(b, func(s *app.Settings) { s.LongPolls = 1e6 })
		s.measureWaiting(b, "/user/pin?timeout=60", s.board.Waiting)
	})
	b.Run("plain handler", func(b *testing.B) {
		s := newService(b)
		var waiting atomic.Int64
		s.app.Echo.GET("/plain", func(c echo.Context) error {
			ctx := c.Request().Context()
			token, _ := web.Bearer(c.Request())
			if _, err := s.app.API.AccessTokens.Authenticate(ctx, token); err != nil {
				return err
			}
			if _, err := s.board.Ended(ctx, uuid.New()); err != nil {
				return err
			}
			waiting.Add(1)
			defer waiting.Add(-1)
			<-ctx.Done()
			return nil
		})
		s.measureWaiting(b, "/plain", func() int { return int(waiting.Load()) })
	})
}

func (s *service) measureWaiting(b *testing.B, path string, waiting func() int) {
	const requests = 3000
	_, access := s.signedInCustomer()
	request := "GET " + path + " HTTP/1.1\r\nHost: pin-admin\r\nAuthorization: Bearer " + access + "\r\n\r\n"
	for b.Loop() {
		before := memoryInUse()
		var connections []net.Conn
		for n := range requests {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
			must(b, err)
			_, err = fmt.Fprint(c, request)
			must(b, err)
			connections = append(connections, c)
			for waiting() < n-20 { // so that the database is not overloaded
				runtime.Gosched()
			}
		}
		for waiting() < requests {
			runtime.Gosched()
		}
		b.ReportMetric(float64(memoryInUse()-before)/requests/1024, "KiB/request")
		for _, c := range connections {
			c.Close()
		}
		for waiting() > 0 {
			runtime.Gosched()
		}
	}
}

// memoryInUse returns the size of the heap and of the stacks in bytes, after a garbage collection.
func memoryInUse() uint64 {
	var m runtime.MemStats
	for range 4 { // each collection halves a stack at most once
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
