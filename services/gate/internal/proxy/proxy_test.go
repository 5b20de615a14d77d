package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
	"github.com/countersign/countersign/services/gate/internal/proxy"
)

// request is one request that the server got.
type request struct {
	method, target, host string
	header               http.Header
	body                 string
	transferEncoding     []string
}

// server is an MCP server that records the bytes that it gets.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	got    []request
	answer func(http.ResponseWriter, *http.Request)
}

func newServer(t *testing.T, answer func(http.ResponseWriter, *http.Request)) *server {
	s := &server{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.got = append(s.got, request{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body), r.TransferEncoding})
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.answer(w, r)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *server) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.got...)
}

// last returns the last request that the server got.
func (s *server) last(t *testing.T) request {
	t.Helper()
	all := s.requests()
	if len(all) == 0 {
		t.Fatal("the server got nothing")
	}
	return all[len(all)-1]
}

const ok = `{"jsonrpc":"2.0","id":1,"result":{}}`

func answerOK(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, ok)
}

// judge is a Judge whose decisions a test gives. Without one, each call runs as it was sent.
type judge struct {
	decide    func(ctx context.Context, from gate.Caller, call message.Call, to gate.Client) gate.Verdict
	delivered func(from gate.Caller, response message.Message) bool
}

func (j *judge) Judge(ctx context.Context, from gate.Caller, call message.Call, to gate.Client) gate.Verdict {
	if j.decide == nil {
		return gate.Verdict{Forward: call.Raw}
	}
	return j.decide(ctx, from, call, to)
}

func (j *judge) Deliver(from gate.Caller, response message.Message) bool {
	return j.delivered != nil && j.delivered(from, response)
}

func sealer(t *testing.T, key string) *hold.Sealer {
	t.Helper()
	s, err := hold.NewSealer(client.NewSecret(key))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts a gate in front of a server. change may change its settings.
func start(t *testing.T, s *server, j gate.Judge, change func(*proxy.Settings)) *httptest.Server {
	t.Helper()
	g := httptest.NewServer(handler(t, s, j, change))
	t.Cleanup(func() { g.CloseClientConnections(); g.Close() })
	return g
}

func handler(t *testing.T, s *server, j gate.Judge, change func(*proxy.Settings)) http.Handler {
	t.Helper()
	target, err := url.Parse(s.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	settings := proxy.Settings{
		Upstream: target, MaxMessage: 1 << 20, Person: client.Person{Customer: "anna"}, Sealer: sealer(t, "csp_canary"),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&settings)
	}
	handler, err := proxy.New(settings, j)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// reply is an answer of the gate.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends a request. Headers are pairs of names and values.
func send(t *testing.T, method, url, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header[http.CanonicalHeaderKey(headers[i])] = nil
		}
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] != "Host" {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) reply {
	t.Helper()
	noRedirect := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := noRedirect.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(content)}
}

// failure returns the error in an answer of the gate.
func (r reply) failure(t *testing.T) (id string, code int, text string) {
	t.Helper()
	var m struct {
		ID    json.RawMessage
		Error struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || m.Error.Code == 0 {
		t.Fatalf("not a JSON-RPC error: %d %q", r.status, r.body)
	}
	return string(m.ID), m.Error.Code, m.Error.Message
}

const (
	ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	pay  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"to":"Bob","amount":5}}}`
)

func TestOpenMessagesPassByteForByte(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	for _, body := range []string{
		ping, pay, "  " + pay + "  \n", pay + "\r\n",
		"{\n  \"method\" : \"resources/read\",\t\"id\":  \"a\\u0062\", \"jsonrpc\":\"2.0\", \"params\":{\"uri\":\"file:///\\u00e4\", \"x\": 1e400}}",
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":7,"result":{"action":"accept"}}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`,
	} {
		if got := send(t, "POST", g.URL+"/mcp", body); got.status != 200 || got.body != ok {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
		if got := s.last(t); got.body != body || got.method != "POST" || got.target != "/mcp" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("sent %q, got %+v", body, got)
		}
	}
}
