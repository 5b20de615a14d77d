package proxy_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/proxy"
)

// stepwise is a server that sends each text only after the test allows it, until the client leaves.
func stepwise(texts ...string) (_ http.HandlerFunc, next chan<- struct{}, left <-chan struct{}) {
	steps, gone := make(chan struct{}), make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Mcp-Session-Id", upstreamID)
		w.WriteHeader(http.StatusOK)
		for _, text := range texts {
			http.NewResponseController(w).Flush()
			select {
			case <-steps:
			case <-r.Context().Done():
				return
			}
			io.WriteString(w, text)
		}
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, steps, gone
}

func TestEachEventPassesAtOnce(t *testing.T) {
	t.Parallel()
	parts := []string{"id: 1\nretry: 100\ndata:\n\n", ": comment\n", "data: " + ping + "\r\n\r\n", "da", "ta: {}\n\n"}
	events := []string{"id: 1\nretry: 100\ndata:\n\n", ": comment\n\n", "data: " + ping + "\n\n", "data: " + ok + "\r\r"}
	for name, c := range map[string]struct {
		method, body string
		texts        []string
		rewrite      func([]byte) []byte
	}{
		"GET":              {method: "GET", texts: parts},
		"message":          {method: "POST", body: ping, texts: parts},
		"call":             {method: "POST", body: pay, texts: parts},
		"rewritten stream": {method: "POST", body: pay, texts: events, rewrite: func(b []byte) []byte { return b }},
	} {
		handler, next, left := stepwise(c.texts...)
		s := newServer(t, handler)
		g := start(t, s, verdict(gate.Verdict{Forward: []byte(pay), Response: c.rewrite}), nil)
		ctx, leave := context.WithCancel(t.Context())
		answer := open(t, ctx, c.method, g.URL+"/mcp", c.body, "Last-Event-ID", "41")
		if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" || s.last(t).header.Get("Last-Event-Id") != "41" {
			t.Errorf("%s: %s, the server got %+v", name, kind, s.last(t))
		}
		for _, text := range c.texts {
			next <- struct{}{}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != text {
				t.Fatalf("%s: %q, %v, want %q", name, got, err, text)
			}
		}
		leave()
		<-left // the server learns that the client left
	}
}

func TestAnswersOfTheServerPassUnchanged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status       int
		kind, answer string
	}{
		{200, "application/json", " {\"jsonrpc\" : \"2.0\"}\n"},
		{202, "", ""},
		{400, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"x","data":{"supported":[]}}}`},
		{401, "text/plain", "no"},
		{404, "text/plain", "session not found"},
		{405, "", ""},
		{500, "text/html", "<html>"},
		{200, "application/json", strings.Repeat("x", 1<<21)},
	} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Alt-Svc", `h2="other.example:443"`) // a way around the gate
			w.WriteHeader(c.status)
			io.WriteString(w, c.answer)
		})
		g := start(t, s, &judge{}, nil)
		for _, body := range []string{ping, pay} {
			got := send(t, "POST", g.URL+"/mcp", body)
			if got.status != c.status || got.body != c.answer || got.header.Get("Content-Type") != c.kind || got.header.Get("Set-Cookie") != "a=b" || got.header.Get("WWW-Authenticate") != "Bearer" || got.header.Get("Alt-Svc") != "" {
				t.Errorf("%d: %+v", c.status, got)
			}
		}
	}
}

func TestRedirectIsNotPassedOrFollowed(t *testing.T) {
	t.Parallel()
	other := newServer(t, answerOK)
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		g := start(t, s, &judge{}, nil)
		for _, body := range []string{ping, pay} {
			got := send(t, "POST", g.URL+"/mcp", body)
			if id, _, text := got.failure(t); got.status != 502 || id != "1" || got.header.Get("Location") != "" || !strings.Contains(text, "redirect") {
				t.Errorf("%d: %+v", status, got)
			}
		}
	}
	if got := other.requests(); len(got) != 0 {
		t.Errorf("the redirect was followed: %+v", got)
	}
}

func TestServerThatIsDown(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	s.Close()
	for body, want := range map[string]string{
		ping: "1", pay: "1", `{"jsonrpc":"2.0","id":"a","method":"x"}`: `"a"`, `{"jsonrpc":"2.0","method":"notifications/x"}`: "null",
	} {
		got := send(t, "POST", g.URL+"/mcp", body)
		if id, _, text := got.failure(t); got.status != 502 || id != want || text != "the MCP server cannot be reached" {
			t.Errorf("%s: %+v", body, got)
		}
	}
	if got := send(t, "GET", g.URL+"/mcp", ""); got.status != 502 {
		t.Errorf("%+v", got)
	}
}

func TestServerThatSwitchesTheProtocolIsRefused(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Connection: Upgrade\r\nUpgrade: x\r\n", ""} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\n"+header+"\r\n")
		})
		if got := send(t, "POST", start(t, s, &judge{}, nil).URL+"/mcp", ping); got.status != 502 {
			t.Errorf("%q: %+v", header, got)
		}
	}
}

// A server that closes the connection after it has read a call may have run it. The call must not be sent again.
func TestCallIsSentOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) == pay {
			panic(http.ErrAbortHandler)
		}
		answerOK(w, r)
	})
	g := start(t, s, &judge{}, nil)
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key", "X-Other"} {
		send(t, "POST", g.URL+"/mcp", ping) // so that the connection is used again
		before := len(s.requests())
		if got := send(t, "POST", g.URL+"/mcp", pay, name, "1"); got.status != 502 || len(s.requests()) != before+1 {
			t.Errorf("%s: the call was sent %d times: %+v", name, len(s.requests())-before, got)
		}
	}
}

func TestWrongServerURLIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ftp://x/mcp", "http:///mcp", "/mcp", "http://user:canary@x/mcp", "http://x/mcp#y"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proxy.New(proxy.Settings{Upstream: u}, &judge{}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestServeEndsWithItsStreams(t *testing.T) {
	t.Parallel()
	handler, next, left := stepwise("data: {}\n\n", "never")
	s := newServer(t, handler)
	u, _ := url.Parse(s.URL + "/mcp")
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	h, err := proxy.New(proxy.Settings{Upstream: u, MaxMessage: 1 << 20, Sealer: sealer(t, "csp_canary"), Log: log}, &judge{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- proxy.Serve(ctx, listener, h, log) }()
	answer := open(t, t.Context(), "GET", "http://"+listener.Addr().String()+"/mcp", "")
	next <- struct{}{}
	if got := readEvent(t, bufio.NewReader(answer.Body)); got != "{}" {
		t.Error(got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-left
}
