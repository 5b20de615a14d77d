package api_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/web"
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
	for range 20 {
		go func() {
			a, err := s.Try(webtest.Request{Method: "GET", Path: "/user/pin/?timeout=60", Header: map[string]string{"Authorization": "Bearer " + access}})
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
	}
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	for range 20 {
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

// BenchmarkLongPollMemory measures the memory of one waiting request: of the endpoint, which takes the connection over, and
// of a plain handler that waits on a channel.
func BenchmarkLongPollMemory(b *testing.B) {
	b.Run("endpoint", func(b *testing.B) {
		s := newService(b)
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
			if _, err := s.board.IsSet(ctx, uuid.New()); err != nil {
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
