// Package webtest asks a service's handler questions over real HTTP, holds every answer against the service's OpenAPI
// document, and makes sure that nothing secret reached the log.
package webtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/countersign/countersign/pkg/web"
)

// Server is a service's handler behind a real listener.
type Server struct {
	t      testing.TB
	http   *httptest.Server
	router routers.Router
	log    *Log
}

// Log collects what a service logs.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns everything that was logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger returns a logger that writes as the services' do, into l.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// Serve starts the handler and stops it when the test is over. log is what the handler writes to.
func Serve(t testing.TB, spec *web.Spec, log *Log, handler http.Handler) *Server {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(spec.YAML)
	if err != nil {
		t.Fatalf("reading the OpenAPI document: %v", err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatalf("reading the OpenAPI document's paths: %v", err)
	}
	s := &Server{t: t, http: httptest.NewServer(handler), router: router, log: log}
	t.Cleanup(s.http.Close)
	return s
}

// Request is one question. Body is sent as it is when it is a string or bytes, else as JSON; nil: no body.
type Request struct {
	Method, Path string
	Header       map[string]string
	Body         any
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// JSON returns a field of the body by its path, as "detail" or "items.0.id"; nil when there is none.
func (a Answer) JSON(path string) any {
	var value any
	if json.Unmarshal([]byte(a.Body), &value) != nil {
		return nil
	}
	for _, step := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// URL is where the server listens.
func (s *Server) URL() string { return s.http.URL }

// Do asks and returns the answer. The test fails when the answer is not in the OpenAPI document.
func (s *Server) Do(r Request) Answer {
	s.t.Helper()
	answer, err := s.Try(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// Try is Do for goroutines other than the test's own.
func (s *Server) Try(r Request) (Answer, error) {
	var body io.Reader
	switch b := r.Body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	case []byte:
		body = bytes.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return Answer{}, fmt.Errorf("encoding the body: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(r.Method, s.http.URL+r.Path, body)
	if err != nil {
		return Answer{}, fmt.Errorf("making the request: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.Header {
		if value == "" {
			request.Header.Del(name)
			continue
		}
		request.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, fmt.Errorf("asking %s %s: %w", r.Method, r.Path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	answer := Answer{response.StatusCode, response.Header, string(text)}
	if response.Header.Get("X-Request-Id") == "" {
		return answer, fmt.Errorf("%s %s: no X-Request-Id", r.Method, r.Path)
	}
	return answer, s.holds(request, answer)
}

// holds checks an answer against the document. What the document does not describe (unknown routes) is not held.
func (s *Server) holds(request *http.Request, a Answer) error {
	request.URL.Path = strings.TrimSuffix(request.URL.Path, "/")
	route, params, err := s.router.FindRoute(request)
	if err != nil {
		return nil
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: params, Route: route},
		Status:                 a.Status,
		Header:                 a.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes([]byte(a.Body))); err != nil {
		return fmt.Errorf("%s %s answered what its document does not say: %w\n%s", request.Method, route.Path, err, a.Body)
	}
	return nil
}

// NeverLogged fails the test when one of the secrets stands in the log.
func (s *Server) NeverLogged(secrets ...string) {
	s.t.Helper()
	for _, secret := range secrets {
		if strings.Contains(s.log.String(), secret) {
			s.t.Errorf("a secret reached the log")
		}
	}
}
