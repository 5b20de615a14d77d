package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

const write = `{"name":"write","arguments":{"path":"/canary_path","content":"canary_content"}}`

func contains(t *testing.T, got string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// private reports an error if a text has an argument, a key, a link or a receipt.
func private(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, "canary") {
		t.Errorf("a secret is in %q", text)
	}
}

func TestGateHoldsACallUntilItIsApproved(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	d.Mode("approval", "files.write")
	pins := filepath.Join(t.TempDir(), "pins.json")
	c := startGate(t, environmentOf(d), gateTo("--skill-prefix", "files.", "--audience", "files", "--pins", pins)...)
	contains(t, c.asks("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}`), `"2025-11-25"`)
	contains(t, c.asks("tools/list", `{}`), `Read a file`)
	contains(t, c.asks("tools/call", `{"name":"read"}`), `"ran":{"name":"read"}`)
	contains(t, c.asks("tools/call", write), "NOT EXECUTED", clienttest.Link)
	d.Decide("approved")
	contains(t, c.asks("tools/call", write), `"content":"canary_content"`, `"countersign/receipt":"receipt.canary.`)
	asked := d.Approvals()
	if len(asked) != 1 || asked[0].Skill != "files.write" || asked[0].Audience != "files" || asked[0].Customer != clienttest.Customer {
		t.Errorf("%+v", asked)
	}
	kept, err := os.ReadFile(pins)
	if err != nil || !strings.Contains(string(kept), `"write"`) || strings.Contains(string(kept), `"read"`) {
		t.Errorf("pins: %s, %v", kept, err)
	}
	c.in.Close()
	if code := <-c.code; code != 7 {
		t.Errorf("exit code %d, want that of the server; %s", code, c.log)
	}
	private(t, c.log.String())
}

// Some clients start a gate for each call.
func TestNextGateFindsTheApproval(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	d.Mode("approval", "write")
	environment := environmentOf(d)
	environment["XDG_STATE_HOME"] = t.TempDir()
	first := startGate(t, environment, gateTo()...)
	contains(t, first.asks("tools/call", write), "NOT EXECUTED", clienttest.Link)
	first.in.Close()
	<-first.code
	d.Decide("approved")
	next := startGate(t, environment, gateTo()...)
	contains(t, next.asks("tools/call", write), `"countersign/receipt":"receipt.canary.`)
	contains(t, next.asks("tools/call", write), "NOT EXECUTED", clienttest.Link)
	if n := len(d.Approvals()); n != 2 {
		t.Errorf("%d approvals", n)
	}
}

// The server must not get the proxy key, nor any other setting of the gate.
func TestServerGetsNoSettingsOfTheGate(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	c := startGate(t, environmentOf(d), gateTo()...)
	answer := c.asks("tools/call", `{"name":"read"}`)
	contains(t, answer, "KEPT=kept")
	if strings.Contains(answer, "COUNTERSIGN") || strings.Contains(answer, "canary") {
		t.Errorf("the environment of the server: %s", answer)
	}
}

func TestBestStepAndWaitAreUsed(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	d.Mode("approval")
	environment := environmentOf(d)
	environment["COUNTERSIGN_BEST_STEP"], environment["COUNTERSIGN_WAIT"] = "text", "0s"
	d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if wait := r.URL.Query().Get("wait"); wait != "" && wait != "0" {
			t.Errorf("a call waits %s s", wait)
		}
		return false
	})
	c := startGate(t, environment, gateTo()...)
	call := strings.TrimSuffix(write, "}") + `,"_meta":{"progressToken":1}}`
	for range 2 { // the second call would wait
		contains(t, c.asks("tools/call", call), "NOT EXECUTED")
	}
}

// httpGate is a gate over HTTP that runs.
type httpGate struct {
	t    *testing.T
	base string
	log  *output
	code chan int
	end  context.CancelFunc
}

// startHTTPGate starts a gate in front of the test's server.
func startHTTPGate(t *testing.T, environment map[string]string, args ...string) *httpGate {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, reply(body))
	}))
	t.Cleanup(upstream.Close)
	p := newProgram(environment, append(args, "--upstream", upstream.URL+"/mcp", "--listen", "127.0.0.1:0")...)
	ctx, cancel := context.WithCancel(context.Background())
	g := &httpGate{t: t, log: p.log, code: make(chan int, 1), end: cancel}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.code <- p.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	g.base = "http://" + p.log.logged(t, "ready", "addr")
	return g
}

// post sends a message. change may change the request.
func (g *httpGate) post(path, body string, change func(*http.Request)) (int, string) {
	g.t.Helper()
	request, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.base+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	if change != nil {
		change(request)
	}
	return send(g.t, request)
}

const readCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`

func TestGateOverHTTP(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	d.Mode("approval", "write")
	pins := filepath.Join(t.TempDir(), "pins.json")
	g := startHTTPGate(t, environmentOf(d), "--metrics-listen", "127.0.0.1:0", "--pins", pins)
	if status, _ := g.post("/other", `{}`, nil); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
	_, answer := g.post("/mcp", readCall, nil)
	contains(t, answer, `"ran":{"name":"read"}`)
	_, answer = g.post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+write+`}`, nil)
	contains(t, answer, "NOT EXECUTED", clienttest.Link)
	g.post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, nil)
	d.Decide("approved")
	_, answer = g.post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+write+`}`, nil)
	contains(t, answer, `"countersign/receipt":"receipt.canary.`)
	if kept, err := os.ReadFile(pins); err != nil || !strings.Contains(string(kept), `"write"`) {
		t.Errorf("pins: %s, %v", kept, err)
	}

	operations := g.log.logged(t, "operations", "addr")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+operations+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, metrics := send(t, request)
	contains(t, metrics, `countersign_gate_calls_total{decision="open"} 1`, `countersign_gate_calls_total{decision="pending"} 1`,
		"countersign_gate_tool_changes_total 0", "process_resident_memory_bytes", "go_goroutines")
	if code, out, log := runs(t, nil, "health", "--metrics-listen", operations); code != 0 || out+log != "" {
		t.Errorf("health: %d, %q, %q", code, out, log)
	}
	g.end()
	if code := <-g.code; code != 0 {
		t.Errorf("exit code %d: %s", code, g.log)
	}
	if code, _, log := runs(t, nil, "health", "--metrics-listen", operations); code != 1 || log == "" {
		t.Errorf("health of a gate that ended: %d, %q", code, log)
	}
	private(t, g.log.String())
}

func TestSettingsOfHTTPAreUsed(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	g := startHTTPGate(t, environmentOf(d), "--allow-host", "gate.example", "--allow-origin", "https://page.example", "--max-message", "1KiB")
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	origin := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Origin", name) } }
	for name, rule := range map[string]struct {
		body   string
		change func(*http.Request)
		want   int
	}{
		"an allowed host":          {readCall, host("gate.example"), http.StatusOK},
		"another host":             {readCall, host("evil.example"), http.StatusForbidden},
		"an allowed origin":        {readCall, origin("https://page.example"), http.StatusOK},
		"another origin":           {readCall, origin("https://evil.example"), http.StatusForbidden},
		"a message that is larger": {readCall + strings.Repeat(" ", 1024), nil, http.StatusRequestEntityTooLarge},
	} {
		if status, answer := g.post("/mcp", rule.body, rule.change); status != rule.want {
			t.Errorf("%s: %d, %s", name, status, answer)
		}
	}
}

func TestTokensOfHTTPAreDemanded(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	environment := environmentOf(d)
	delete(environment, "COUNTERSIGN_CUSTOMER")
	g := startHTTPGate(t, environment, "--token-issuer", "http://127.0.0.1:1", "--token-audience", "gate", "--token-channel", "login", "--public-url", "https://gate.example/mcp")
	if status, answer := g.post("/mcp", readCall, nil); status != http.StatusUnauthorized || len(d.Requests()) != 0 {
		t.Errorf("without a token: %d, %s", status, answer)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.base+"/.well-known/oauth-protected-resource", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := send(t, request); status != http.StatusOK || !strings.Contains(answer, "https://gate.example/mcp") {
		t.Errorf("the metadata: %d, %s", status, answer)
	}
	code, _, log := runs(t, environment, "--token-issuer", "http://issuer.example", "--token-audience", "a", "--token-channel", "c", "--upstream", d.URL)
	if code != exitUsage || log == "" {
		t.Errorf("an issuer without TLS: exit code %d, %q", code, log)
	}
}

func send(t *testing.T, request *http.Request) (int, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestGateThatCannotStart(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	taken := strings.TrimPrefix(d.URL, "http://")
	broken := filepath.Join(t.TempDir(), "pins")
	if err := os.WriteFile(broken, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, rule := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such program":   {[]string{"--", "/no/such/program"}, 1, "/no/such/program"},
		"a taken address":   {[]string{"--upstream", d.URL, "--listen", taken}, 1, "--listen"},
		"a taken address 2": {gateTo("--metrics-listen", taken), 1, "--metrics-listen"},
		"broken pins":       {gateTo("--pins", broken), 2, "is not a file of pins"},
	} {
		code, out, log := runs(t, environmentOf(d), rule.args...)
		if code != rule.code || out != "" || !strings.Contains(log, rule.want) || strings.Contains(log, "canary") {
			t.Errorf("%s: exit code %d, %q, %q", name, code, out, log)
		}
	}
}
