package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
	"github.com/countersign/countersign/services/gate/internal/proxy"
)

// verdict is a judge that always says the same.
func verdict(v gate.Verdict) *judge {
	return &judge{decide: func(context.Context, gate.Caller, message.Call, gate.Client) gate.Verdict { return v }}
}

func TestHeldCallDoesNotReachTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	const answer = `{"jsonrpc":"2.0","id":1,"result":{"isError":true}}`
	g := start(t, s, verdict(gate.Verdict{Answer: []byte(answer)}), nil)
	got := send(t, "POST", g.URL+"/mcp", pay)
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" || got.body != answer || len(s.requests()) != 0 {
		t.Errorf("%+v, the server got %+v", got, s.requests())
	}
	escaped := strings.Replace(pay, "tools/call", `t\u006fols\/call`, 1)
	if got := send(t, "POST", g.URL+"/mcp", escaped); got.body != answer || len(s.requests()) != 0 {
		t.Errorf("%+v, the server got %+v", got, s.requests())
	}
	if got := send(t, "POST", g.URL+"/mcp", ping); got.body != ok {
		t.Errorf("%+v", got)
	}
}

func TestVerdictWithoutAMessageRunsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, verdict(gate.Verdict{}), nil)
	got := send(t, "POST", g.URL+"/mcp", pay)
	if id, _, text := got.failure(t); id != "1" || !strings.HasPrefix(text, "NOT EXECUTED") || len(s.requests()) != 0 {
		t.Errorf("%+v, the server got %+v", got, s.requests())
	}
}

func TestApprovedCallIsSentAsTheJudgeSays(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	approved := strings.Replace(pay, `"amount":5`, `"amount":6`, 1)
	g := start(t, s, verdict(gate.Verdict{Forward: []byte(approved)}), nil)
	if got := send(t, "POST", g.URL+"/mcp", pay+"\n"); got.body != ok || s.last(t).body != approved {
		t.Errorf("%+v, the server got %+v", got, s.requests())
	}
}

func TestJudgeSendsMessagesOnTheStreamOfTheCall(t *testing.T) {
	t.Parallel()
	const progress, event = `{"jsonrpc":"2.0","method":"notifications/progress"}`, "event: message\ndata: "
	for name, c := range map[string]struct {
		verdict gate.Verdict
		server  http.HandlerFunc
		want    string
	}{
		"the gate answers": {verdict: gate.Verdict{Answer: []byte(ok)}, want: event + ok + "\n\n"},
		"JSON": {
			server: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, "{\n \"jsonrpc\":\"2.0\",\r\n \"id\":1,\"result\":{}}")
			},
			want: event + `{  "jsonrpc":"2.0",   "id":1,"result":{}}` + "\n\n",
		},
		"events": {
			server: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "id: 1\ndata:\n\nid: 2\ndata: "+ok+"\n\n")
			},
			want: "id: 1\ndata:\n\nid: 2\ndata: " + ok + "\n\n",
		},
		"a status without a message": {
			server: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "session not found", 404) },
			want:   event + `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the MCP server did not answer the call; its status is 404"}}` + "\n\n",
		},
		"a JSON-RPC error for no request": {
			server: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(400)
				io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`)
			},
			want: event + `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the MCP server did not answer the call; its status is 400"}}` + "\n\n",
		},
		"a redirect": {
			server: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
			},
			want: event + `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server answered with a redirect, which the gate does not pass"}}` + "\n\n",
		},
		"no answer": {
			server: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			want:   event + `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the connection to the MCP server failed; the server may have read the request"}}` + "\n\n",
		},
	} {
		s := newServer(t, c.server)
		v := c.verdict
		if c.server != nil {
			v.Forward = []byte(pay)
		}
		g := start(t, s, &judge{decide: func(_ context.Context, _ gate.Caller, _ message.Call, to gate.Client) gate.Verdict {
			if !to.CanReceive() || to.Send([]byte(progress)) != nil {
				t.Errorf("%s: the client receives nothing", name)
			}
			return v
		}}, nil)
		got := send(t, "POST", g.URL+"/mcp", pay)
		if want := event + progress + "\n\n" + c.want; got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" || got.body != want {
			t.Errorf("%s: %d %v\n%q\nwant\n%q", name, got.status, got.header, got.body, want)
		}
	}
}

func TestClientThatAcceptsNoEventsGetsOnlyTheAnswer(t *testing.T) {
	t.Parallel()
	g := start(t, newServer(t, answerOK), &judge{decide: func(_ context.Context, _ gate.Caller, _ message.Call, to gate.Client) gate.Verdict {
		if to.CanReceive() || to.Send([]byte(ping)) == nil {
			t.Error("the client can receive messages")
		}
		return gate.Verdict{Answer: []byte(ok)}
	}}, nil)
	if got := send(t, "POST", g.URL+"/mcp", pay, "Accept", "application/json"); got.body != ok {
		t.Errorf("%+v", got)
	}
}

func TestNothingIsSentAfterTheVerdict(t *testing.T) {
	t.Parallel()
	var kept gate.Client
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if kept.Send([]byte(ping)) == nil {
			t.Error("a message was sent into the server's response")
		}
		answerOK(w, r)
	})
	g := start(t, s, &judge{decide: func(_ context.Context, _ gate.Caller, call message.Call, to gate.Client) gate.Verdict {
		kept = to
		return gate.Verdict{Forward: call.Raw}
	}}, nil)
	if got := send(t, "POST", g.URL+"/mcp", pay); got.body != ok {
		t.Errorf("%+v", got)
	}
	if kept.Send([]byte(ping)) == nil {
		t.Error("a message was sent after the end of the call")
	}
}

// open sends a request and returns its response with the body still open.
func open(t *testing.T, ctx context.Context, method, url, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func TestElicitationIsAnsweredInAnotherRequest(t *testing.T) {
	t.Parallel()
	const elicitation = `{"jsonrpc":"2.0","id":"countersign-1","method":"elicitation/create","params":{}}`
	answered := make(chan message.Message, 1)
	s := newServer(t, answerSession)
	g := start(t, s, &judge{
		decide: func(ctx context.Context, _ gate.Caller, call message.Call, to gate.Client) gate.Verdict {
			if err := to.Send([]byte(elicitation)); err != nil {
				t.Error(err)
			}
			select {
			case <-answered:
				return gate.Verdict{Forward: call.Raw}
			case <-ctx.Done():
				return gate.Verdict{}
			}
		},
		delivered: func(from gate.Caller, response message.Message) bool {
			if from.Person.Customer != "anna" || string(response.ID) != `"countersign-1"` {
				return false
			}
			answered <- response
			return true
		},
	}, nil)
	id := begin(t, g.URL)
	call := open(t, t.Context(), "POST", g.URL+"/mcp", pay, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-11-25")
	stream := bufio.NewReader(call.Body)
	if got := readEvent(t, stream); got != elicitation {
		t.Fatal(got)
	}
	before := len(s.requests())
	// Another request of the gate is unknown here: it must not reach the server either.
	for _, other := range []string{`{"jsonrpc":"2.0","id":"\u0063ountersign-9","result":{}}`, `{"jsonrpc":"2.0","id":"countersign-1","result":{"action":"accept"}}`} {
		if got := send(t, "POST", g.URL+"/mcp", other, "Mcp-Session-Id", id); got.status != 202 || got.body != "" {
			t.Errorf("%+v", got)
		}
	}
	if got := readEvent(t, stream); got != ok {
		t.Error(got)
	}
	if got := s.requests()[before:]; len(got) != 1 || got[0].body != pay {
		t.Errorf("the server got %+v", got)
	}
	// The server's own requests are answered by the client as without the gate.
	if got := send(t, "POST", g.URL+"/mcp", `{"jsonrpc":"2.0","id":"server-1","result":{}}`, "Mcp-Session-Id", id); got.status != 200 || !strings.Contains(s.last(t).body, "server-1") {
		t.Errorf("%+v", got)
	}
}

// readEvent returns the data of the next event.
func readEvent(t *testing.T, stream *bufio.Reader) string {
	t.Helper()
	var data string
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		if line == "\n" {
			return data
		}
		if value, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "data: "); found {
			data += value
		}
	}
}

// waiting is a judge that waits until the call ends.
func waiting(began, ended chan<- struct{}) *judge {
	return &judge{decide: func(ctx context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		began <- struct{}{}
		<-ctx.Done()
		close(ended)
		return gate.Verdict{Forward: call.Raw} // a judge may be late; the call must not run
	}}
}

func TestClientThatLeavesEndsTheCall(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	began, ended := make(chan struct{}), make(chan struct{})
	g := start(t, s, waiting(began, ended), nil)
	ctx, leave := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", g.URL+"/mcp", strings.NewReader(pay))
	r.Header.Set("Content-Type", "application/json")
	go func() { <-began; leave() }()
	if _, err := http.DefaultClient.Do(r); err == nil {
		t.Error("the call was answered")
	}
	<-ended
	g.Close() // waits for the request
	if got := s.requests(); len(got) != 0 {
		t.Errorf("the server got %+v", got)
	}
}

func TestClientCancelsACallThatWaits(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerSession)
	began, ended := make(chan struct{}), make(chan struct{})
	g := start(t, s, waiting(began, ended), nil)
	id := begin(t, g.URL)
	other := begin(t, g.URL) // a sealed id is different each time, but names the same session of this server
	answer := make(chan reply)
	go func() { answer <- send(t, "POST", g.URL+"/mcp", pay, "Mcp-Session-Id", id) }()
	<-began
	before := len(s.requests())
	cancel := func(requestID string, headers ...string) reply {
		return send(t, "POST", g.URL+"/mcp", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+requestID+`}}`, headers...)
	}
	// These are about other calls, and go to the server.
	cancel("2", "Mcp-Session-Id", id)
	cancel(`"1"`, "Mcp-Session-Id", id)
	cancel("1")
	cancel("1", "Mcp-Session-Id", sealed(t, "mcp session "+s.URL+"/mcp", "session-2", time.Now().Add(time.Hour)))
	if n := len(s.requests()); n != before+4 {
		t.Fatalf("the server got %d of 4 notifications", n-before)
	}
	// A second call with the id would make it unclear which of them is cancelled.
	if got := send(t, "POST", g.URL+"/mcp", pay, "Mcp-Session-Id", id); got.status != 400 {
		t.Errorf("%+v", got)
	}
	if got := cancel("1", "Mcp-Session-Id", other); got.status != 202 || got.body != "" {
		t.Errorf("%+v", got)
	}
	got := <-answer
	if id, _, text := got.failure(t); id != "1" || !strings.Contains(text, "cancelled") {
		t.Errorf("%+v", got)
	}
	if n := len(s.requests()); n != before+4 {
		t.Errorf("the server got %+v", s.requests()[before+4:])
	}
	<-ended
}

func TestResponseIsRewritten(t *testing.T) {
	t.Parallel()
	const from, to = `{"jsonrpc":"2.0","id":1,"result":{"requestState":"theirs"}}`, `{"jsonrpc":"2.0","id":1,"result":{"requestState":"ours"}}`
	notify, asks := `{"jsonrpc":"2.0","method":"n","params":"theirs"}`, `{"jsonrpc":"2.0","id":1,"method":"sampling","params":"theirs"}`
	replace := func(response []byte) []byte { return bytes.ReplaceAll(response, []byte("theirs"), []byte("ours")) }
	for name, c := range map[string]struct{ kind, body, want string }{
		"JSON":                {"application/json; charset=utf-8", from, to},
		"another id":          {"application/json", strings.Replace(from, "1", "2", 1), strings.Replace(from, "1", "2", 1)},
		"event":               {"text/event-stream", "data: " + from + "\n\n", "data: " + to + "\n\n"},
		"event with its id":   {"text/event-stream", "id: 7\nevent: message\ndata:" + from + "\nretry: 5\n\n", "id: 7\nevent: message\nretry: 5\ndata: " + to + "\n\n"},
		"other events":        {"text/event-stream", ": hello\n\ndata: " + notify + "\r\n\r\ndata: " + asks + "\r\rdata: " + from + "\n\nid: 9\ndata:\n\n", ": hello\n\ndata: " + notify + "\r\n\r\ndata: " + asks + "\r\rdata: " + to + "\n\nid: 9\ndata:\n\n"},
		"CRLF":                {"text/event-stream", "event: message\r\ndata: " + from + "\r\n\r\ndata: x\r\n\r\n", "event: message\ndata: " + to + "\n\n\ndata: x\r\n\r\n"},
		"CR":                  {"text/event-stream", "data: " + from + "\r\r", "data: " + to + "\n\n"},
		"several lines":       {"text/event-stream", "data: " + from[:10] + "\ndata: " + from[10:] + "\n\n", "data: " + to[:10] + " " + to[10:] + "\n\n"},
		"byte order mark":     {"text/event-stream", "\ufeffdata: " + from + "\n\n", "data: " + to + "\n\n"},
		"event without end":   {"text/event-stream", "data: " + notify + "\n\ndata: " + from, "data: " + notify + "\n\ndata: " + from},
		"text":                {"text/plain", from, from},
		"id spelled in other": {"application/json", `{"jsonrpc":"2.0","id":1 ,"result":"theirs"}`, `{"jsonrpc":"2.0","id":1 ,"result":"ours"}`},
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				t.Errorf("%s: the server may compress the response", name)
			}
			w.Header().Set("Content-Type", c.kind)
			io.WriteString(w, c.body)
		})
		g := start(t, s, verdict(gate.Verdict{Forward: []byte(pay), Response: replace}), nil)
		if got := send(t, "POST", g.URL+"/mcp", pay, "Accept-Encoding", "gzip"); got.status != 200 || got.body != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got.body, c.want)
		}
	}
}

func TestToolsOfTheServerAreShown(t *testing.T) {
	t.Parallel()
	const tools = `{"jsonrpc":"2.0","id":1,"result":{"tools":[ {"name":"pay"}]}}`
	for _, kind := range []string{"application/json", "text/event-stream"} {
		body := tools
		if kind == "text/event-stream" {
			body = "data:  " + tools + "\r\n\r\n"
		}
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			io.WriteString(w, body)
		})
		var seen []string
		g := start(t, s, &judge{}, func(p *proxy.Settings) { p.Tools = func(r []byte) { seen = append(seen, string(r)) } })
		got := send(t, "POST", g.URL+"/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		send(t, "POST", g.URL+"/mcp", ping)
		if got.body != body || len(seen) != 1 || strings.TrimSpace(seen[0]) != tools {
			t.Errorf("%s: %q, seen %q", kind, got.body, seen)
		}
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, _ := message.Parse(body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(message.Result(m.ID, "done"))
	})
	const n = 200
	arrived, release := make(chan struct{}, n), make(chan struct{})
	g := start(t, s, &judge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		arrived <- struct{}{}
		<-release
		return gate.Verdict{Forward: call.Raw}
	}}, nil)
	answers := make(chan error, n)
	for i := range n {
		go func() {
			got := sendQuietly(g, strings.Replace(pay, `"id":1`, fmt.Sprintf(`"id":%d`, i), 1))
			if want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":"done"}`, i); got != want {
				answers <- fmt.Errorf("%q, want %q", got, want)
				return
			}
			answers <- nil
		}()
	}
	for range n {
		<-arrived
	}
	close(release)
	for range n {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

func sendQuietly(g *httptest.Server, body string) string {
	answer, err := http.Post(g.URL+"/mcp", "application/json", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	content, _ := io.ReadAll(answer.Body)
	return string(content)
}
