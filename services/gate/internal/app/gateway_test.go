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
	c := startGate(t, environment, gateTo()...)
	call := strings.TrimSuffix(write, "}") + `,"_meta":{"progressToken":1}}`
	for range 2 { // the second call would wait
		contains(t, c.asks("tools/call", call), "NOT EXECUTED")
	}
}

func TestGateOverHTTP(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	d.Mode("approval", "write")
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, reply(body))
	}))
	defer upstream.Close()
	p := newProgram(environmentOf(d), "--upstream", upstream.URL+"/mcp", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.Run(ctx) }()
	base := "http://" + p.log.logged(t, "ready", "addr")
	post := func(path, body string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Accept", "application/json, text/event-stream")
		return send(t, request)
	}
	if status, _ := post("/other", `{}`); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
	_, answer := post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`)
	contains(t, answer, `"ran":{"name":"read"}`)
	_, answer = post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+write+`}`)
	contains(t, answer, "NOT EXECUTED", clienttest.Link)

	operations := p.log.logged(t, "operations", "addr")
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
	cancel()
	if code := <-code; code != 0 {
		t.Errorf("exit code %d: %s", code, p.log)
	}
	if code, _, log := runs(t, nil, "health", "--metrics-listen", operations); code != 1 || log == "" {
		t.Errorf("health of a gate that ended: %d, %q", code, log)
	}
	private(t, p.log.String())
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
		"a taken address":   {[]string{"--upstream", d.URL, "--listen", taken}, 1, "listening"},
		"a taken address 2": {gateTo("--metrics-listen", taken), 1, "listening for metrics"},
		"broken pins":       {gateTo("--pins", broken), 2, "is not a file of pins"},
	} {
		code, out, log := runs(t, environmentOf(d), rule.args...)
		if code != rule.code || out != "" || !strings.Contains(log, rule.want) || strings.Contains(log, "canary") {
			t.Errorf("%s: exit code %d, %q, %q", name, code, out, log)
		}
	}
}
