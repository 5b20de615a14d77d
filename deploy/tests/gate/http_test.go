package gate

import (
	"bufio"
	"bytes"
	"compress/gzip"

	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// endpoint is a program that serves HTTP.
type endpoint struct {
	*process
	address string
}

// startRecorder starts a recorder that serves HTTP.
func startRecorder(t testing.TB, r *record, flags ...string) endpoint {
	t.Helper()
	p := startProcess(t, nil, recorderBinary(t), append([]string{"-listen", "127.0.0.1:0", "-record", r.path}, flags...)...)
	return endpoint{p, r.await(t, func(e entry) bool { return e.Listen != "" }).Listen}
}

// startHTTPGate starts a gate in front of a server, at the path /mcp.
func startHTTPGate(t testing.TB, d *clienttest.Countersign, upstream string, flags ...string) endpoint {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	p := startProcess(t, gateEnvironment(d), gateBinary(t), append([]string{"--upstream", "http://" + upstream + "/mcp", "--listen", address}, flags...)...)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		connection, err := net.Dial("tcp4", address)
		if err == nil {
			connection.Close()
			return endpoint{p, address}
		}
		if time.Now().After(end) {
			t.Fatalf("the gate does not listen:\n%s", child.LastLines(p.log, 10))
		}
	}
}

// post sends a message and returns the answer. An empty answer is a status without a message.
func (e endpoint) post(text string) (status int, answer string) {
	e.t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+e.address+"/mcp", strings.NewReader(text))
	must(e.t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	response, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		e.t.Errorf("no answer to %.100q: %v\n%s", text, err, child.LastLines(e.log, 5))
		return 0, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(e.t, err)
	return response.StatusCode, content(string(body))
}

// content returns the answer in a body, which may be a stream of events.
func content(body string) string {
	body = strings.TrimSpace(body)
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(line, "data:"); ok && isAnswer(data) {
			return strings.TrimSpace(data)
		}
	}
	return body
}

// raw sends the bytes of a request, and after the head of the answer the bytes then. It returns the status, the body and what followed.
func (e endpoint) raw(text, then string) (status int, body string) {
	e.t.Helper()
	connection, err := net.Dial("tcp4", e.address)
	must(e.t, err)
	defer connection.Close()
	must(e.t, connection.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(connection, text)
	must(e.t, err)
	in := bufio.NewReader(connection)
	method, _, _ := strings.Cut(text, " ")
	response, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		e.t.Errorf("no answer to %.200q: %v", text, err)
		return 0, ""
	}
	if then == "" {
		content, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(content)
	}
	// The connection may be closed already. What counts is what the server got.
	_, _ = io.WriteString(connection, then)
	_ = connection.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, in)
	return response.StatusCode, ""
}

func TestCorpusOverHTTPWhenNobodyApproves(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	e := startHTTPGate(t, d, startRecorder(t, r).address, "--wait", "0s")
	r.next(t)
	for _, m := range slices.Concat(corpus, bodyOnly) {
		text := fill(m.text)
		if m.overHTTP != "" {
			m.want = m.overHTTP
		}
		status, body := e.post(text)
		var answers []string
		if body != "" {
			answers = []string{body}
		}
		entries := r.next(t)
		checkMessage(t, m.name, m.want, text, answers, entries)
		// The gate's answer to a call is an answer with status 200, even if it is an error.
		if wanted := map[answer][]int{refused: {400, 413, 200}, forwarded: {202}, dropped: {202}}[m.want]; wanted != nil && !slices.Contains(wanted, status) || wanted == nil && status != 200 {
			t.Errorf("%s: status %d with %.100s", m.name, status, body)
		}
		if calls := unapproved(entries, d.Approvals()); len(calls) > 0 {
			t.Errorf("%s: a protected tool ran: %v", m.name, calls)
		}
	}
	if status, body := e.post(toolCall("alive", "get-sum", `{}`)); status != 200 || kind(t, body, true) != ran {
		t.Errorf("after the corpus, an open call got %d %s", status, body)
	}
}

// exchange is a request of the corpus that is more than a body.
type exchange struct {
	name string
	// head has the request line and the headers, without Host and Content-Length. @HOST is the address.
	head, body string
	// then is sent on the same connection after the head of the answer.
	then string
	// attack: without the gate, a careless server runs a protected tool after this request.
	attack bool
	status int
	// passes is true if the server must get the body byte for byte.
	passes bool
}

const (
	postMCP  = "POST /mcp HTTP/1.1\r\n"
	jsonType = "Content-Type: application/json\r\n"
	head     = postMCP + jsonType
	envCall  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-env"}}`
	sumCall  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-sum"}}`
	modern   = "MCP-Protocol-Version: 2026-07-28\r\n"
	sumNow   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-sum","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
)

var exchanges = []exchange{
	{name: "open call", head: head, body: sumCall, status: 200, passes: true},
	{name: "protected call", head: head, body: envCall, attack: true, status: 200},

	// Paths
	{name: "another path", head: "POST /other HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "root", head: "POST / HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "slash at the end", head: "POST /mcp/ HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "two slashes", head: "POST //mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "dots", head: "POST /x/../mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "escaped letter", head: "POST /%6dcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "escaped slash", head: "POST %2fmcp HTTP/1.1\r\n" + jsonType, body: envCall, status: 400},
	{name: "upper case", head: "POST /MCP HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "parameter", head: "POST /mcp;x=1 HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "escaped question mark", head: "POST /mcp%3f HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},
	{name: "query", head: "POST /mcp?a=/other HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 200},
	{name: "open call with a query", head: "POST /mcp?a=%00&b;c HTTP/1.1\r\n" + jsonType, body: sumCall, status: 200, passes: true},
	{name: "absolute URL of another server", head: "POST http://example.com/mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 403},
	{name: "absolute URL", head: "POST http://@HOST/mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 404},

	// Methods
	{name: "PUT", head: "PUT /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 405},
	{name: "PATCH", head: "PATCH /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 405},
	{name: "QUERY", head: "QUERY /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 405},
	{name: "post in lower case", head: "post /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 405},
	{name: "GET with a body", head: "GET /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 400},
	{name: "GET with a body that is a POST", head: "GET /mcp HTTP/1.1\r\nX-HTTP-Method-Override: POST\r\n" + jsonType, body: envCall, attack: true, status: 400},
	{name: "DELETE with a body", head: "DELETE /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 400},
	{name: "OPTIONS with a body", head: "OPTIONS /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 400},
	{name: "HEAD with a body", head: "HEAD /mcp HTTP/1.1\r\n" + jsonType, body: envCall, attack: true, status: 405},
	{name: "GET with a chunked body", head: "GET /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + jsonType, body: chunked(envCall), attack: true, status: 400},
	{name: "GET", head: "GET /mcp HTTP/1.1\r\nAccept: text/event-stream\r\n", status: 405},

	// Other protocols on the same connection
	{name: "upgrade", head: "GET /mcp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: lines\r\n", then: envCall + "\n", attack: true, status: 400},
	{name: "WebSocket", head: "GET /mcp HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n", then: envCall + "\n", attack: true, status: 400},
	{name: "upgrade of a POST", head: head + "Connection: Upgrade\r\nUpgrade: h2c\r\n", body: sumCall, then: envCall + "\n", attack: true, status: 400},
	{name: "HTTP/2 without TLS", head: "PRI * HTTP/2.0\r\n", then: "SM\r\n\r\n", status: 404},
	{name: "CONNECT", head: "CONNECT @HOST HTTP/1.1\r\n", then: envCall + "\n", status: 404},

	// Content types and encodings
	{name: "text/plain", head: postMCP + "Content-Type: text/plain\r\n", body: envCall, attack: true, status: 415},
	{name: "no type", head: postMCP, body: envCall, attack: true, status: 415},
	{name: "form", head: postMCP + "Content-Type: application/x-www-form-urlencoded\r\n", body: envCall, attack: true, status: 415},
	{name: "JSON with a suffix", head: postMCP + "Content-Type: application/vnd.x+json\r\n", body: envCall, attack: true, status: 415},
	{name: "two types in one", head: postMCP + "Content-Type: application/json, text/plain\r\n", body: envCall, attack: true, status: 415},
	{name: "two types", head: head + "Content-Type: text/plain\r\n", body: envCall, attack: true, status: 400},
	{name: "UTF-8", head: postMCP + "Content-Type: application/json; charset=UTF-8\r\n", body: sumCall, status: 200, passes: true},
	{name: "UTF-16", head: postMCP + "Content-Type: application/json; charset=utf-16le\r\n", body: utf16LE(envCall), attack: true, status: 415},
	{name: "UTF-7", head: postMCP + "Content-Type: application/json; charset=utf-7\r\n", body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"+ACI-},+ACI-method+ACI-:+ACI-tools/call+ACI-,+ACI-params+ACI-:{+ACI-name+ACI-:+ACI-get-env+ACI-},+ACI-x+ACI-:{+ACI-x+ACI-:+ACI-"}}`, attack: true, status: 415},
	{name: "two charsets", head: postMCP + "Content-Type: application/json; charset=utf-8; charset=utf-16\r\n", body: sumCall, status: 415},
	{name: "gzip", head: head + "Content-Encoding: gzip\r\n", body: gzipped(envCall), attack: true, status: 415},
	{name: "gzip that is JSON", head: head + "Content-Encoding: gzip\r\n", body: sumCall, status: 415},
	{name: "identity", head: head + "Content-Encoding: identity\r\n", body: sumCall, status: 415},

	// The frame of the body
	{name: "chunked open call", head: head + "Transfer-Encoding: chunked\r\n", body: chunked(sumCall), status: 200},
	{name: "chunked call", head: head + "Transfer-Encoding: chunked\r\n", body: chunked(envCall), attack: true, status: 200},
	{name: "chunks and a length", head: head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", body: chunked(envCall), attack: true, status: 200},
	{name: "unknown transfer encoding", head: head + "Transfer-Encoding: xchunked\r\n", body: envCall, status: 501},
	{name: "chunked twice", head: head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", body: chunked(envCall), status: 501},
	{name: "two lengths", head: head + "Content-Length: 3\r\nContent-Length: 4\r\n", body: envCall, status: 400},
	{name: "negative length", head: head + "Content-Length: -1\r\n", body: envCall, status: 400},
	{name: "a second request behind the body", head: head + fmt.Sprintf("Content-Length: %d\r\n", len(sumCall)),
		body: sumCall + "POST /mcp HTTP/1.1\r\nHost: @HOST\r\n" + jsonType + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(envCall)) + envCall, then: "\r\n", attack: true, status: 200},
	{name: "half a body", head: head + "Content-Length: 500\r\n", body: sumCall, then: "", status: 400},
	{name: "line fold in a header", head: head + "X-A: b\r\n c: d\r\n", body: envCall, attack: true, status: 200},
	{name: "space before the colon", head: head + "Content-Encoding : gzip\r\n", body: sumCall, status: 400},
	{name: "64 KiB of headers", head: head + "X-Big: " + strings.Repeat("x", 64<<10) + "\r\n", body: envCall, attack: true, status: 200},
	{name: "2 MiB of headers", head: head + "X-Big: " + strings.Repeat("x", 2<<20) + "\r\n", body: envCall, status: 431},

	// Headers that repeat the body
	{name: "another Mcp-Name", head: head + modern + "Mcp-Method: tools/call\r\nMcp-Name: get-env\r\n", body: sumNow, attack: true, status: 400},
	{name: "right Mcp-Name", head: head + modern + "Mcp-Method: tools/call\r\nMcp-Name: get-sum\r\n", body: sumNow, status: 200, passes: true},
	{name: "encoded Mcp-Name", head: head + modern + "Mcp-Method: tools/call\r\nMcp-Name: =?base64?Z2V0LXN1bQ==?=\r\n", body: sumNow, status: 200, passes: true},
	{name: "another encoded Mcp-Name", head: head + modern + "Mcp-Method: tools/call\r\nMcp-Name: =?base64?Z2V0LWVudg==?=\r\n", body: sumNow, status: 400},
	{name: "two Mcp-Name", head: head + modern + "Mcp-Method: tools/call\r\nMcp-Name: get-sum\r\nMcp-Name: get-env\r\n", body: sumNow, attack: true, status: 400},
	{name: "two Mcp-Method", head: head + modern + "Mcp-Method: tools/call\r\nMcp-Method: ping\r\nMcp-Name: get-env\r\n", body: sumNow, attack: true, status: 400},
	{name: "Mcp-Method for another body", head: head + modern + "Mcp-Method: tools/call\r\nMcp-Name: get-env\r\n", body: `{"jsonrpc":"2.0","id":1,"method":"ping"}`, attack: true, status: 400},
	{name: "Mcp-Name in another case", head: head + modern + "mcp-method: tools/call\r\nmcp-name: get-env\r\n", body: sumNow, attack: true, status: 400},
	{name: "headers removed by Connection", head: head + modern + "Connection: Mcp-Name\r\nMcp-Method: tools/call\r\nMcp-Name: get-env\r\n", body: sumNow, attack: true, status: 400},
	{name: "Mcp-Name with an underscore", head: head + modern + "Mcp_Method: tools/call\r\nMcp_Name: get-env\r\n", body: sumNow, status: 200, passes: true},

	// Sessions, hosts and origins
	{name: "unknown session", head: head + "Mcp-Session-Id: 1868a90c-8b7d-4b9f-9c63-11a7c0d1d0b0\r\n", body: sumCall, status: 404},
	{name: "two sessions", head: head + "Mcp-Session-Id: a\r\nMcp-Session-Id: b\r\n", body: sumCall, status: 400},
	{name: "foreign origin", head: head + "Origin: https://evil.example\r\n", body: envCall, attack: true, status: 403},
	{name: "origin null", head: head + "Origin: null\r\n", body: envCall, attack: true, status: 403},
	{name: "origin with another port", head: head + "Origin: http://127.0.0.1:1\r\n", body: sumCall, status: 403},
	{name: "own origin", head: head + "Origin: http://@HOST\r\n", body: sumCall, status: 200, passes: true},
	{name: "foreign host", head: head + "Host: evil.example\r\n", body: envCall, attack: true, status: 403},
	{name: "host with another port", head: head + "Host: localhost:1\r\n", body: sumCall, status: 403},
	{name: "two hosts", head: head + "Host: @HOST\r\nHost: evil.example\r\n", body: sumCall, status: 400},
	{name: "host that begins well", head: head + "Host: 127.0.0.1.evil.example\r\n", body: envCall, attack: true, status: 403},
}

func (x exchange) bytes(address string) string {
	text := x.head
	if !strings.Contains(text, "\r\nHost:") {
		text += "Host: @HOST\r\n"
	}
	if !strings.Contains(text, "Content-Length") && !strings.Contains(text, "Transfer-Encoding") && x.body != "" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(x.body))
	}
	return strings.ReplaceAll(text+"\r\n"+x.body, "@HOST", address)
}

func TestRequestsBreakCarelessServers(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	e := startRecorder(t, r)
	r.next(t)
	for _, x := range exchanges {
		if x.name == "half a body" {
			continue // it waits for the other half
		}
		e.raw(x.bytes(e.address), x.then)
		if ran := unapproved(r.next(t), nil); (len(ran) > 0) != x.attack {
			t.Errorf("%s: attack is %v, and without the gate these calls ran: %v", x.name, x.attack, ran)
		}
	}
}

func TestRequestsThroughTheGate(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	e := startHTTPGate(t, d, startRecorder(t, r).address, "--wait", "0s")
	r.next(t)
	for _, x := range exchanges {
		if x.name == "half a body" {
			continue // see TestHalfABody
		}
		status, body := e.raw(x.bytes(e.address), x.then)
		entries := r.next(t)
		if status != x.status {
			t.Errorf("%s: status %d instead of %d: %.200s", x.name, status, x.status, body)
		}
		if x.passes && !arrived(entries, x.body) {
			t.Errorf("%s: the server did not get the body", x.name)
		}
		if calls := unapproved(entries, d.Approvals()); len(calls) > 0 {
			t.Errorf("%s: a protected tool ran: %v", x.name, calls)
		}
	}
	if status, body := e.post(toolCall("alive", "get-sum", `{}`)); status != 200 || kind(t, body, true) != ran {
		t.Errorf("after all requests, an open call got %d %s", status, body)
	}
}

// TestHalfABody checks that a body that ends too early does not reach the server.
func TestHalfABody(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	e := startHTTPGate(t, d, startRecorder(t, r).address)
	connection, err := net.Dial("tcp4", e.address)
	must(t, err)
	_, err = io.WriteString(connection, exchange{head: head + "Content-Length: 500\r\n", body: sumCall}.bytes(e.address))
	must(t, err)
	must(t, connection.(*net.TCPConn).CloseWrite())
	must(t, connection.SetReadDeadline(time.Now().Add(patience)))
	_, _ = io.Copy(io.Discard, connection)
	connection.Close()
	must(t, e.Stop(syscall.SIGTERM, patience))
	if arrived(r.all(t), sumCall) {
		t.Error("the server got half a body")
	}
}

func chunked(text string) string {
	return fmt.Sprintf("%x\r\n%s\r\n%x;name=value\r\n%s\r\n0\r\n\r\n", 10, text[:10], len(text)-10, text[10:])
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}
