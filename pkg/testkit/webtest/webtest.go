// Package webtest sends requests to a service's handler over HTTP. It validates every response against the service's OpenAPI
// document, and checks that the log contains no secret.
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

// Server is an HTTP server with a service's handler.
type Server struct {
	t      testing.TB
	http   *httptest.Server
	router routers.Router
	log    *Log
}

// Log collects the log lines of a service.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all log lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger returns a logger that writes to l in the format of the services.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// Serve starts a server for the handler and stops it at the end of the test. log is the log of the handler.
func Serve(t testing.TB, spec *web.Spec, log *Log, handler http.Handler) *Server {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(spec.YAML)
	if err != nil {
		t.Fatalf("parsing the OpenAPI document: %v", err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatalf("parsing the paths of the OpenAPI document: %v", err)
	}
	s := &Server{t: t, http: httptest.NewServer(handler), router: router, log: log}
	t.Cleanup(s.http.Close)
	return s
}

// Request is an HTTP request.
type Request struct {
	Method, Path string
	// Header contains additional headers. An empty value removes the header.
	Header map[string]string
	// Body is sent unchanged if it is a string or bytes, and as JSON otherwise. nil means no body.
	Body any
}

// Answer is an HTTP response.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// JSON returns the field of the body with a path, for example "detail" or "items.0.id". It returns nil if there is no such field.
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

// URL returns the URL of the server.
func (s *Server) URL() string { return s.http.URL }

// Do sends a request and returns the response. The test fails if the response does not match the OpenAPI document.
func (s *Server) Do(r Request) Answer {
	s.t.Helper()
	answer, err := s.Try(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// Try does the same as Do, but returns an error instead of ending the test. A test must call Try
// instead of Do in goroutines that it starts.
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
		return Answer{}, fmt.Errorf("creating the request: %w", err)
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
		return Answer{}, fmt.Errorf("sending %s %s: %w", r.Method, r.Path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("reading the response: %w", err)
	}
	answer := Answer{response.StatusCode, response.Header, string(text)}
	if response.Header.Get("X-Request-Id") == "" {
		return answer, fmt.Errorf("%s %s: the response has no X-Request-Id", r.Method, r.Path)
	}
	if response.Header.Get("X-Content-Type-Options") != "nosniff" {
		return answer, fmt.Errorf("%s %s: the response has no X-Content-Type-Options", r.Method, r.Path)
	}
	return answer, s.validate(request, answer)
}

// validate validates a response against the OpenAPI document. Its header Cache-Control must be no-store, unless the document
// describes another. validate accepts every response of a route that is not in the document.
func (s *Server) validate(request *http.Request, a Answer) error {
	request.URL.Path = strings.TrimSuffix(request.URL.Path, "/")
	route, params, err := s.router.FindRoute(request)
	if err != nil {
		return nil
	}
	described := route.Operation.Responses.Status(a.Status)
	if a.Header.Get("Cache-Control") != "no-store" && (described == nil || described.Value.Headers["Cache-Control"] == nil) {
		return fmt.Errorf("the response of %s %s may be cached: Cache-Control is %q", request.Method, route.Path, a.Header.Get("Cache-Control"))
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: params, Route: route},
		Status:                 a.Status,
		Header:                 a.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes([]byte(a.Body))); err != nil {
		return fmt.Errorf("the response of %s %s does not match the OpenAPI document: %w\n%s", request.Method, route.Path, err, a.Body)
	}
	return nil
}

// NeverLogged fails the test if the log contains one of the secrets.
func (s *Server) NeverLogged(secrets ...string) {
	s.t.Helper()
	for _, secret := range secrets {
		if strings.Contains(s.log.String(), secret) {
			s.t.Errorf("the log contains a secret")
		}
	}
}

// Fuzzed sends a request of a fuzz target. It skips the test if no HTTP client can send the request. It fails the test if the
// status is 500 or more, or if the response does not match the OpenAPI document.
func (s *Server) Fuzzed(t *testing.T, r Request) Answer {
	t.Helper()
	notInURL := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }
	if _, err := http.NewRequest(r.Method, s.URL()+r.Path, nil); err != nil || strings.ContainsFunc(r.Path, notInURL) {
		t.Skip("no client can send this request")
	}
	a, err := s.Try(r)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status >= http.StatusInternalServerError {
		t.Errorf("%s %s %q answered %d %s", r.Method, r.Path, r.Body, a.Status, a.Body)
	}
	return a
}

// Want ends the test as failed unless an answer has this status. It returns the answer.
func (s *Server) Want(a Answer, status int) Answer {
	s.t.Helper()
	if a.Status != status {
		s.t.Fatalf("answered %d, want %d: %s", a.Status, status, a.Body)
	}
	return a
}

// Fields fails the test if a field of an answer differs from want. The keys are paths as in Answer.JSON. Numbers are float64.
func (s *Server) Fields(a Answer, want map[string]any) {
	s.t.Helper()
	for path, value := range want {
		if got := a.JSON(path); got != value {
			s.t.Errorf("%s is %v, want %v in %s", path, got, value, a.Body)
		}
	}
}
