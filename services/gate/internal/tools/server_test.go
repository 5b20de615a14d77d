package tools

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/services/gate/internal/child"
)

// script is the variable with the name of the server that the test's program plays, as a command.
const script = "GATE_TEST_SERVER"

func TestMain(m *testing.M) {
	switch {
	case child.IsSupervisor(os.Args):
		os.Exit(child.Supervise())
	case os.Getenv(script) != "":
		playCommand(scripts[os.Getenv(script)](), os.Stdin, os.Stdout)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// question is a message to a server.
type question struct {
	ID     json.RawMessage
	Method string
	Params struct {
		ProtocolVersion, Cursor string
		Meta                    map[string]any `json:"_meta"`
	}
}

// answers returns the lines that a server sends after a question. The line "" means nothing more, for ever.
type answers func(q question) []string

func result(q question, content string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, content)
}

func fails(q question, code int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"canary\u001b[31m"}}`, q.ID, code)
}

// legacyServer answers tools/list with list, after the client has initialized it.
func legacyServer(list answers) func() answers {
	return func() answers {
		initialized := false
		return func(q question) []string {
			switch {
			case q.Method == "initialize" && q.Params.ProtocolVersion == legacy:
				return []string{result(q, `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}`)}
			case q.Method == "notifications/initialized":
				initialized = true
				return nil
			case q.Method == "tools/list" && initialized:
				return list(q)
			}
			return []string{fails(q, -32601)}
		}
	}
}

// page is the result of a tools/list.
func page(tools, next string) func(q question) []string {
	return func(q question) []string {
		if next != "" {
			next = `,"nextCursor":` + next
		}
		return []string{result(q, `{"tools":[`+tools+`]`+next+`}`)}
	}
}

func many(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"name":"tool%d","inputSchema":{}}`, i)
	}
	return strings.Join(all, ",")
}

var scripts = map[string]func() answers{
	"two pages": legacyServer(func(q question) []string {
		if q.Params.Cursor == "" {
			return page(`{"name":"read","title":"Read a file","annotations":{"readOnlyHint":true}},{"name":"write","annotations":{"destructiveHint":false,"title":"Write"}}`, `"2"`)(q)
		}
		return page(`{"name":"delete","description":"d","inputSchema":{"required":["path"]},"annotations":{"readOnlyHint":"yes","destructiveHint":1}}`, "")(q)
	}),
	"no tools": legacyServer(page("", "")),
	"modern": func() answers {
		return func(q question) []string {
			if q.Method != "tools/list" || q.Params.Meta["io.modelcontextprotocol/protocolVersion"] != modern {
				return []string{fails(q, -32601)}
			}
			return page(`{"name":"read"}`, "")(q)
		}
	},
	"noise": legacyServer(func(q question) []string {
		return append([]string{
			`{"jsonrpc":"2.0","method":"notifications/message","params":{}}`,
			`{"jsonrpc":"2.0","id":99,"result":{}}`,
			`{"jsonrpc":"2.0","id":3,"method":"ping"}`,
			`{"jsonrpc":"2.0","id":` + string(q.ID) + `,"method":"roots/list"}`,
		}, page(`{"name":"read"}`, "")(q)...)
	}),
	"cursor loop": legacyServer(func(q question) []string {
		return page(`{"name":"read"}`, map[string]string{"": `"a"`, "a": `"b"`, "b": `"a"`}[q.Params.Cursor])(q)
	}),
	"no end": legacyServer(func(q question) []string {
		if len(q.Params.Cursor) >= maxPages {
			return page("", "")(q) // the gate must not ask for this page
		}
		return page("", `"`+q.Params.Cursor+`x"`)(q)
	}),
	"10000 tools":      legacyServer(page(many(maxTools), "")),
	"10001 tools":      legacyServer(page(many(maxTools+1), "")),
	"no answer":        legacyServer(func(question) []string { return []string{""} }),
	"no initialize":    func() answers { return func(question) []string { return []string{""} } },
	"an error":         func() answers { return func(q question) []string { return []string{fails(q, -32603)} } },
	"not a list":       legacyServer(func(q question) []string { return []string{result(q, `{"tools":{"canary":1}}`)} }),
	"no list":          legacyServer(func(q question) []string { return []string{result(q, `{}`)} }),
	"no result":        legacyServer(func(q question) []string { return []string{`{"jsonrpc":"2.0","id":` + string(q.ID) + `}`} }),
	"a nameless tool":  legacyServer(page(`{"name":"a"},{"title":"canary"}`, "")),
	"a number as name": legacyServer(page(`{"name":1}`, "")),
	"a huge message": legacyServer(func(q question) []string {
		return []string{result(q, `{"tools":[],"x":"`+strings.Repeat("x", maxMessage)+`"}`)}
	}),
	"no version": func() answers { return func(q question) []string { return []string{result(q, `{}`)} } },
}

// playCommand plays a server over standard input and output.
func playCommand(server answers, in io.Reader, out io.Writer) {
	fmt.Fprintln(out, "Server running on stdio") // some servers do this
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var q question
		if json.Unmarshal(lines.Bytes(), &q) != nil || q.Method == "" {
			continue // an answer to a request of the server
		}
		for _, line := range server(q) {
			if line == "" {
				select {}
			}
			fmt.Fprintln(out, line)
		}
	}
}

// handler plays a server over streamable HTTP. It answers with JSON if it can, and otherwise with events. It counts sessions.
type handler struct {
	t       *testing.T
	answers answers

	mu    sync.Mutex
	ended bool
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer canary_token" {
		http.Error(w, "canary", http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodDelete {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = r.Header.Get("Mcp-Session-Id") == "session"
		return
	}
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		h.t.Error(err)
	}
	if q.Method == "tools/list" && len(q.Params.Meta) > 0 && (r.Header.Get("MCP-Protocol-Version") != modern || r.Header.Get("Mcp-Method") != "tools/list") ||
		q.Method == "tools/list" && len(q.Params.Meta) == 0 && (r.Header.Get("MCP-Protocol-Version") != "2025-06-18" || r.Header.Get("Mcp-Session-Id") != "session") {
		h.t.Errorf("the headers of %s are %v", q.Method, r.Header)
	}
	h.mu.Lock()
	lines := h.answers(q)
	h.mu.Unlock()
	switch {
	case q.ID == nil:
		w.WriteHeader(http.StatusAccepted)
		return
	case len(lines) == 1 && lines[0] == "":
		<-r.Context().Done()
		return
	case q.Method == "initialize" && strings.Contains(lines[0], `"result"`):
		w.Header().Set("Mcp-Session-Id", "session")
	case q.Method == "initialize":
		w.WriteHeader(http.StatusBadRequest)
	}
	if len(lines) == 1 {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, lines[0])
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for _, line := range lines {
		fmt.Fprintf(w, ": comment\r\nevent: message\r\ndata: %s\r\n\r\n", line)
	}
}

// servers returns ways to the server of a script, over both transports.
func servers(t *testing.T, name string) map[string]Server {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command, err := Start([]string{self}, append(os.Environ(), script+"="+name), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(command.Close)
	return map[string]Server{"command": command, "http": remote(t, name)}
}

func remote(t *testing.T, name string) *Remote {
	h := &handler{t: t, answers: scripts[name]()}
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if h.mu.Lock(); !h.ended && strings.HasPrefix(name, "two pages") {
			t.Error("the session was not ended")
		}
	})
	u, err := url.Parse(server.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	r := Dial(u, client.NewSecret("canary_token"))
	t.Cleanup(r.Close)
	return r
}
