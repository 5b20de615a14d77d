package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/services/gate/internal/message"
	"github.com/countersign/countersign/services/gate/internal/proxy"
)

// raw sends bytes to the gate and reads one answer. HOST stands for the gate's host and port.
func raw(t *testing.T, g *httptest.Server, text string) reply {
	t.Helper()
	host := strings.TrimPrefix(g.URL, "http://")
	connection, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	io.WriteString(connection, strings.ReplaceAll(strings.ReplaceAll(text, "\n", "\r\n"), "HOST", host))
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, _ := io.ReadAll(answer.Body)
	return reply{answer.StatusCode, answer.Header, string(content)}
}

// post is a request with a message, and further header lines.
func post(target, body string, lines ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\nHost: HOST\nConnection: close\nContent-Type: application/json\nContent-Length: %d\n%s\n%s",
		target, len(body), strings.Join(append(lines, ""), "\n"), body)
}

func TestOtherPathsAreNotPassed(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	for _, target := range []string{
		"/", "/mcp/", "//mcp", "/MCP", "/mcp%2f", "/%6dcp", "/mc%70", "/mcp/.", "/./mcp", "/x/../mcp", "/mcp;a=b", "/mcp%3fx", "/mcp%00",
		"/mcp%20", "/mcp/sse", "/messages", "http://HOST/mcp", "/.well-known/oauth-protected-resource",
		"/.well-known/oauth-protected-resource/mcp",
	} {
		if got := raw(t, g, post(target, pay)); got.status != 404 {
			t.Errorf("%s: %d", target, got.status)
		}
	}
	if got := s.requests(); len(got) != 0 {
		t.Errorf("the server got %+v", got)
	}
}

func TestQueryOfTheClientIsNotPassed(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, func(p *proxy.Settings) { p.Upstream.RawQuery = "key=1" })
	if got := raw(t, g, post("/mcp?key=2&_method=DELETE", pay)); got.status != 200 || s.last(t).target != "/mcp?key=1" {
		t.Errorf("%d, the server got %s", got.status, s.last(t).target)
	}
}

func TestHostOfAnotherNameIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, func(p *proxy.Settings) { p.AllowHosts = []string{"gate.example", "other.example:8443"} })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.URL, "http://"))
	for host, want := range map[string]int{
		"127.0.0.1:" + port: 200, "localhost:" + port: 200, "LocalHost:" + port: 200, "[::1]:" + port: 200, "127.9.9.9:" + port: 200,
		"gate.example": 200, "Gate.Example:99": 200, "other.example:8443": 200,
		"evil.example": 403, "evil.example:" + port: 403, "127.0.0.1": 403, "127.0.0.1:1": 403, "localhost": 403, "other.example": 403,
		"other.example:1": 403, "localhost.evil.example:" + port: 403, "127.0.0.1.evil.example:" + port: 403, "gate.example.evil": 403,
		"10.0.0.1:" + port: 403, "0.0.0.0:" + port: 403, "127.0.0.1:" + port + ":1": 403, "": 403,
	} {
		before := len(s.requests())
		got := raw(t, g, strings.Replace(post("/mcp", ping), "Host: HOST", "Host: "+host, 1))
		if passed := len(s.requests()) > before; got.status != want || passed != (want == 200) {
			t.Errorf("Host %q: %d, passed %v", host, got.status, passed)
		}
	}
}

func TestOriginOfAnotherPageIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, func(p *proxy.Settings) {
		p.AllowHosts, p.AllowOrigins = []string{"gate.example"}, []string{"https://app.example", "http://localhost:6274/"}
	})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.URL, "http://"))
	for origin, want := range map[string]int{
		"http://127.0.0.1:" + port: 200, "http://localhost:" + port: 200, "https://gate.example": 200, "https://app.example": 200,
		"http://localhost:6274": 200,
		"https://evil.example":  403, "null": 403, "http://localhost:1": 403, "https://app.example.evil": 403, "http://app.example": 403,
		"file://": 403, "ftp://gate.example": 403, "https://gate.example@evil.example": 403, "https://evil.example/gate.example": 403,
		"https://app.example, https://app.example": 403, "gate.example": 403, "https://gate.example/x": 403, "https://gate.example:1/x": 403, "https://gate.example?x": 403,
	} {
		before := len(s.requests())
		got := raw(t, g, post("/mcp", ping, "Origin: "+origin))
		if passed := len(s.requests()) > before; got.status != want || passed != (want == 200) {
			t.Errorf("Origin %q: %d, passed %v", origin, got.status, passed)
		}
	}
	if got := raw(t, g, post("/mcp", ping, "Origin: https://app.example", "Origin: https://evil.example")); got.status != 403 {
		t.Errorf("two origins: %d", got.status)
	}
}

func TestBrowserOfAnAllowedOriginReadsTheGatesAnswers(t *testing.T) {
	t.Parallel()
	g := start(t, newServer(t, answerOK), &judge{}, func(p *proxy.Settings) { p.AllowOrigins = []string{"https://app.example"} })
	if got := send(t, "POST", g.URL+"/mcp", "[]", "Origin", "https://app.example"); got.header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%+v", got)
	}
	if got := send(t, "POST", g.URL+"/mcp", "[]"); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%+v", got)
	}
}

func TestBodyThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	const json = "Content-Type: application/json"
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"gzip", post("/mcp", pay, "Content-Encoding: gzip"), 415},
		{"identity", post("/mcp", pay, "Content-Encoding: identity"), 415},
		{"empty encoding", post("/mcp", pay, "Content-Encoding:"), 415},
		{"utf-16", strings.Replace(post("/mcp", pay), json, json+"; charset=utf-16", 1), 415},
		{"two charsets", strings.Replace(post("/mcp", pay), json, json+"; charset=utf-8; charset=utf-16", 1), 415},
		{"two types", post("/mcp", pay, "Content-Type: text/plain"), 400},
		{"text", strings.Replace(post("/mcp", pay), json, "Content-Type: text/plain", 1), 415},
		{"no type", strings.Replace(post("/mcp", pay), json, "X: y", 1), 415},
		{"multipart", strings.Replace(post("/mcp", pay), json, "Content-Type: multipart/form-data; boundary=a", 1), 415},
		{"two tokens", post("/mcp", pay, "Authorization: Bearer a", "Authorization: Bearer b"), 400},
		{"two sessions", post("/mcp", pay, "Mcp-Session-Id: a", "mcp-session-id: b"), 400},
		{"two methods", post("/mcp", pay, "Mcp-Method: tools/call", "Mcp-Method: ping"), 400},
		{"two names", post("/mcp", pay, "Mcp-Name: pay", "Mcp-Name: other"), 400},
		{"two versions", post("/mcp", pay, "MCP-Protocol-Version: 2025-11-25", "MCP-Protocol-Version: 2026-07-28"), 400},
		{"two parameters", post("/mcp", pay, "Mcp-Param-To: Bob", "Mcp-Param-To: Eve"), 400},
		{"two lengths", post("/mcp", pay, "Content-Length: 3"), 400},
		{"unknown transfer encoding", strings.Replace(post("/mcp", pay), "Content-Length", "Transfer-Encoding: gzip\nContent-Length", 1), 501},
		{"two transfer encodings", strings.Replace(post("/mcp", pay), "Content-Length", "Transfer-Encoding: chunked, identity\nContent-Length", 1), 501},
		{"websocket", post("/mcp", pay, "Upgrade: websocket"), 400},
		{"h2c", strings.Replace(post("/mcp", pay, "Upgrade: h2c"), "Connection: close", "Connection: Upgrade, close", 1), 400},
		{"GET with a body", strings.Replace(post("/mcp", pay, "X-HTTP-Method-Override: POST"), "POST", "GET", 1), 400},
		{"DELETE with a body", strings.Replace(post("/mcp", pay), "POST", "DELETE", 1), 400},
		{"OPTIONS with a body", strings.Replace(post("/mcp", pay), "POST", "OPTIONS", 1), 400},
		{"GET with chunks", "GET /mcp HTTP/1.1\nHost: HOST\nConnection: close\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", 400},
		{"PUT", strings.Replace(post("/mcp", pay), "POST", "PUT", 1), 405},
		{"post", strings.Replace(post("/mcp", pay), "POST", "post", 1), 405},
		{"HEAD", "HEAD /mcp HTTP/1.1\nHost: HOST\nConnection: close\n\n", 405},
		{"batch", post("/mcp", "["+pay+"]"), 400},
		{"two names of one tool", post("/mcp", strings.Replace(pay, `"name"`, `"Name":"ping","name"`, 1)), 400},
		{"UTF-16", post("/mcp", "\xff\xfe{\x00}\x00"), 400},
		{"no body", post("/mcp", ""), 400},
	} {
		if got := raw(t, g, c.request); got.status != c.status {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
		}
	}
	if got := s.requests(); len(got) != 0 {
		t.Errorf("the server got %+v", got)
	}
	for _, kind := range []string{"application/json; charset=UTF-8", "APPLICATION/JSON"} {
		if got := send(t, "POST", g.URL+"/mcp", ping, "Content-Type", kind); got.status != 200 {
			t.Errorf("%s: %d", kind, got.status)
		}
	}
}

func TestRefusedMessageIsAnsweredWithItsID(t *testing.T) {
	t.Parallel()
	var refused []string
	g := start(t, newServer(t, answerOK), &judge{}, func(p *proxy.Settings) {
		p.Refused = func(r *message.Refusal) { refused = append(refused, r.Reason) }
	})
	got := send(t, "POST", g.URL+"/mcp", `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{}}`)
	if id, code, _ := got.failure(t); got.status != 400 || id != `"x"` || code != message.CodeInvalidParams || len(refused) != 1 {
		t.Errorf("%+v, %q", got, refused)
	}
}

func TestHeadersThatTheServerCouldBelieveAreRemoved(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	bad := []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-Ip", "X-Original-Url",
		"X-Rewrite-Url", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "Mcp_Session_Id", "Content_Encoding",
		"Mcp-Session_Id", "Proxy-Authorization", "Te", "Keep-Alive", "Named",
	}
	good := []string{"Authorization", "Cookie", "User-Agent", "Accept", "Last-Event-Id", "X-Api-Key", "Mcp-Protocol-Version", "Baggage", "Accept-Encoding"}
	lines := []string{"Connection: Named"}
	for _, name := range append(append([]string{}, bad...), good...) {
		lines = append(lines, name+": canary")
	}
	if got := raw(t, g, post("/mcp", ping, lines...)); got.status != 200 {
		t.Fatal(got)
	}
	header := s.last(t).header
	for _, name := range bad {
		if header.Get(name) != "" {
			t.Errorf("the server got %s", name)
		}
	}
	for _, name := range good {
		if header.Get(name) != "canary" {
			t.Errorf("the server did not get %s", name)
		}
	}
	if host := s.last(t).host; host != strings.TrimPrefix(s.URL, "http://") {
		t.Errorf("the server got the host %s", host)
	}
}

func TestHeadersAboutAMessageNeedAMessage(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	for _, method := range []string{"GET", "DELETE", "OPTIONS"} {
		send(t, method, g.URL+"/mcp", "", "Mcp-Method", "tools/call", "Mcp-Name", "pay", "Mcp-Param-To", "Eve", "Mcp-Protocol-Version", "2025-11-25")
		header := s.last(t).header
		if header.Get("Mcp-Method")+header.Get("Mcp-Name")+header.Get("Mcp-Param-To") != "" || header.Get("Mcp-Protocol-Version") == "" {
			t.Errorf("%s: the server got %v", method, header)
		}
	}
}

func TestSizeOfMessages(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, func(p *proxy.Settings) { p.MaxMessage = 1000 })
	fits := ping + strings.Repeat(" ", 1000-len(ping))
	if got := send(t, "POST", g.URL+"/mcp", fits); got.status != 200 || s.last(t).body != fits {
		t.Errorf("%+v", got)
	}
	if got := raw(t, g, post("/mcp", fits+" ")); got.status != 413 {
		t.Errorf("%+v", got)
	}
	// The length is a lie: the gate answers after it has read its limit.
	if got := raw(t, g, "POST /mcp HTTP/1.1\nHost: HOST\nContent-Type: application/json\nContent-Length: 99999999999\n\n"+fits+" "); got.status != 413 {
		t.Errorf("%+v", got)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("the server got %d requests", n)
	}
}

func TestChunkedMessageIsJudgedAndSentWithItsLength(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	request := "POST /mcp HTTP/1.1\nHost: HOST\nConnection: close\nContent-Type: application/json\nTrailer: Mcp-Name\n" +
		fmt.Sprintf("Transfer-Encoding: chunked\n\n5\n%s\n%x\n%s\n0\nMcp-Name: other\n\n", pay[:5], len(pay)-5, pay[5:])
	if got := raw(t, g, request); got.status != 200 {
		t.Fatal(got)
	}
	last := s.last(t)
	if last.body != pay || len(last.transferEncoding) != 0 || last.header.Get("Content-Length") != fmt.Sprint(len(pay)) || last.header.Get("Mcp-Name") != "" {
		t.Errorf("the server got %+v", last)
	}
}

func TestIncompleteMessageIsNotPassed(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, func(p *proxy.Settings) { p.BodyTime = 50 * time.Millisecond })
	// The client sends no more and waits. The gate must end this.
	half := fmt.Sprintf("POST /mcp HTTP/1.1\nHost: HOST\nContent-Type: application/json\nContent-Length: %d\n\n%s", len(ping)+1, ping)
	if got := raw(t, g, half); got.status != 400 {
		t.Errorf("%+v", got)
	}
	if got := s.requests(); len(got) != 0 {
		t.Errorf("the server got %+v", got)
	}
}

func TestHeadersMustMatchTheMessage(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	const modern = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"zahlen ü","arguments":{"to":"Bob","deep":[{"n":42,"yes":true,"s":"a b"},9007199254740993]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
	for _, c := range []struct {
		body, name, value string
		passes            bool
	}{
		{ping, "Mcp-Method", "ping", true},
		{ping, "Mcp-Method", "tools/call", false},
		{ping, "Mcp-Method", "PING", false},
		{`{"jsonrpc":"2.0","id":1,"result":{}}`, "Mcp-Method", "tools/call", false},
		{pay, "Mcp-Method", "tools/list", false},
		{pay, "Mcp-Method", "tools/call", true},
		{pay, "Mcp-Name", "pay", true},
		{pay, "Mcp-Name", " pay ", true}, // white space around a header is not part of it
		{pay, "Mcp-Name", "Pay", false},
		{pay, "Mcp-Name", "read", false},
		{pay, "Mcp-Name", "=?base64?cGF5?=", true},
		{pay, "Mcp-Name", "=?base64?cmVhZA==?=", false},
		{pay, "Mcp-Name", "=?base64?cGF5", false},
		{pay, "MCP-Protocol-Version", "2025-11-25", true},
		{modern, "Mcp-Name", "=?base64?emFobGVuIMO8?=", true},
		{modern, "MCP-Protocol-Version", "2026-07-28", true},
		{modern, "MCP-Protocol-Version", "2025-11-25", false},
		{modern, "Mcp-Param-To", "Bob", true},
		{modern, "Mcp-Param-To", "Eve", false},
		{modern, "Mcp-Param-To", "to", false},
		{modern, "Mcp-Param-To", "=?base64?Qm9i?=", true},
		{modern, "Mcp-Param-To", "=?base64?RXZl?=", false},
		{modern, "Mcp-Param-To", "=?base64?Qm9?=", false},
		{modern, "Mcp-Param-N", "42", true},
		{modern, "Mcp-Param-N", "42.0", true},
		{modern, "Mcp-Param-N", "43", false},
		{modern, "Mcp-Param-Yes", "true", true},
		{modern, "Mcp-Param-Yes", "false", false},
		{modern, "Mcp-Param-Yes", "=?base64?dHJ1ZQ==?=", true},
		{modern, "Mcp-Param-Yes", "=?base64?dHJ1ZR==?=", false}, // lax readers read the same text
		{modern, "Mcp-Param-Yes", "=?base64?dHJ1ZQ?=", false},
		{modern, "Mcp-Param-Big", "9007199254740993", true},
		{modern, "Mcp-Param-Big", "9007199254740992", false}, // the same float64
		{modern, "Mcp-Param-S", "a b", true},
		{pay, "Mcp-Param-Amount", "5", true},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay"}}`, "Mcp-Param-To", "Bob", false},
	} {
		before := len(s.requests())
		got := send(t, "POST", g.URL+"/mcp", c.body, c.name, c.value)
		if passed := len(s.requests()) > before; passed != c.passes {
			t.Errorf("%s %q: %d %s", c.name, c.value, got.status, got.body)
		}
		if c.passes {
			continue
		}
		if _, code, _ := got.failure(t); got.status != 400 || code != message.CodeHeaderMismatch {
			t.Errorf("%s %q: %d %s", c.name, c.value, got.status, got.body)
		}
	}
}
