package stdio

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

const testMax = 1 << 20

// fakeJudge decides with functions. Without decide, every call runs as it was sent.
type fakeJudge struct {
	decide  func(ctx context.Context, from gate.Caller, call message.Call, to gate.Client) gate.Verdict
	deliver func(message.Message) bool
}

func (j fakeJudge) Judge(ctx context.Context, from gate.Caller, call message.Call, to gate.Client) gate.Verdict {
	if j.decide == nil {
		return gate.Verdict{Forward: call.Raw}
	}
	return j.decide(ctx, from, call, to)
}

func (j fakeJudge) Deliver(_ gate.Caller, response message.Message) bool {
	return j.deliver != nil && j.deliver(response)
}

// conversation is a pump between pipes in memory, with both of their ends.
type conversation struct {
	t          *testing.T
	pump       *pump
	fromClient *io.PipeWriter // what the client writes
	toServer   *bufio.Reader  // what the server reads
	fromServer *io.PipeWriter
	toClient   *bufio.Reader
	done       sync.WaitGroup
}

func settings() Settings {
	return Settings{Person: client.Person{Customer: "ada"}, MaxMessage: testMax, Log: slog.New(slog.DiscardHandler)}
}

func converse(t *testing.T, s Settings, judge gate.Judge) *conversation {
	t.Helper()
	clientIn, fromClient := io.Pipe()
	toServer, serverIn := io.Pipe()
	serverOut, fromServer := io.Pipe()
	toClient, clientOut := io.Pipe()
	c := &conversation{t: t, fromClient: fromClient, toServer: bufio.NewReader(toServer), fromServer: fromServer, toClient: bufio.NewReader(toClient)}
	c.pump = newPump(s, judge, serverIn, clientOut)
	c.done.Go(func() {
		c.pump.fromClient(clientIn)
		clientIn.Close()
		serverIn.Close()
	})
	c.done.Go(func() {
		c.pump.fromServer(serverOut)
		serverOut.Close()
	})
	t.Cleanup(func() {
		fromClient.Close()
		fromServer.Close()
		toServer.Close()
		c.pump.requests.end()
		toClient.Close()
		c.done.Wait()
		c.pump.requests.wait(context.Background()) // hangs if a goroutine does not end
	})
	return c
}

// client writes lines as the client. It fails the test only in the test's goroutine.
func (c *conversation) client(lines ...string) {
	for _, line := range lines {
		if _, err := io.WriteString(c.fromClient, line); err != nil {
			c.t.Errorf("the gate does not read from the client: %v", err)
		}
	}
}

func (c *conversation) server(lines ...string) {
	for _, line := range lines {
		if _, err := io.WriteString(c.fromServer, line); err != nil {
			c.t.Errorf("the gate does not read from the server: %v", err)
		}
	}
}

func (c *conversation) serverGets(want string) {
	c.t.Helper()
	if line, err := c.toServer.ReadString('\n'); line != want {
		c.t.Fatalf("the server got\n%.300q, want\n%.300q, %v", line, want, err)
	}
}

func (c *conversation) clientGets(want string) {
	c.t.Helper()
	if line, err := c.toClient.ReadString('\n'); line != want {
		c.t.Fatalf("the client got\n%.300q, want\n%.300q, %v", line, want, err)
	}
}

const ping = `{"jsonrpc":"2.0","id":"ping","method":"ping"}` + "\n"

func call(id, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"write","arguments":%s}}`+"\n", id, arguments)
}

// refusal is the answer to a refused message.
func refusal(id string, code int, reason string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`+"\n", id, code, reason)
}

func TestOpenMessagesPassByteForByte(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{})
	lines := []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}` + "\n",
		`  { "method" : "resources/read", "id":1.50, "jsonrpc":"2.0" }` + "\t\r\n",
		`{"jsonrpc":"2.0","id":null,"method":"x/y"}` + "\n",
		`{"jsonrpc":"2.0","id":true,"method":"x"}` + "\n",
		`{"jsonrpc":"2.0","id":{"a":[1e400]},"method":"x"}` + "\n",
		`{"jsonrpc":"2.0","id":[],"method":"x"}` + "\n",
		`{"jsonrpc":"2.0","id":"` + strings.Repeat("long", 30_000) + `","method":"x"}` + "\n",
		`{"jsonrpc":"2.0","id":7,"result":{"a response":"without a request"}}` + "\n",
		`{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"x"}}` + "\n",
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}` + "\n",
		`{"jsonrpc":"2.0","method":"notifications/cancelled"}` + "\n",
		`{"jsonrpc":"2.0","method":"notifications/x","params":{"text":"one` + "\u2028" + `two","deep":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `}}` + "\n",
	}
	go c.client(lines...)
	for _, line := range lines {
		c.serverGets(line)
	}
	answers := []string{"not JSON\n", "\n", "\r\n", "{\"id\":1}\r\n", "\x00\xff\n", strings.Repeat("long", 100_000) + "\n", "half a line"}
	go func() { c.server(answers...); c.fromServer.Close() }()
	for _, line := range answers[:len(answers)-1] {
		c.clientGets(line)
	}
	half := make([]byte, len("half a line"))
	if _, err := io.ReadFull(c.toClient, half); err != nil || string(half) != "half a line" {
		t.Errorf("%q, %v", half, err)
	}
}

func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{})
	for _, test := range []struct{ name, line, id string }{
		{"batch", `[` + strings.TrimSuffix(call("1", "{}"), "\n") + `]` + "\n", "null"},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\xff\"}\n", "null"},
		{"NUL", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\x00\"}\n", "null"},
		{"NUL after the message", strings.TrimSuffix(ping, "\n") + "\x00\n", "null"},
		{"bare CR", strings.TrimSuffix(ping, "\n") + "\r" + call("1", "{}"), "null"},
		{"two CR at the end", strings.TrimSuffix(ping, "\n") + "\r\r\n", "null"},
		{"two values", strings.TrimSuffix(ping, "\n") + call("1", "{}"), "null"},
		{"duplicate key", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}` + "\n", "null"},
		{"folded key", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}` + "\n", "null"},
		{"folded key of params", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-sum","Name":"get-env"}}` + "\n", "1"},
		{"half a message", `{"jsonrpc":"2.0","id":1,` + "\n", "null"},
		{"a call with the id null", call("null", "{}"), "null"},
		{"a call with an object as id", call("{}", "{}"), "null"},
		{"a call with a fraction as id", call("1.5", "{}"), "null"},
		{"a call behind a line separator", `{"jsonrpc":"2.0","id":1,"method":"x","params":"` + "\u2028" + ` {\"method\":\"tools/call\"}"}` + "\n", "1"},
		{"calls behind separators", `{"jsonrpc":"2.0","id":1,"method":"x","params":"` + "\u0085a\u2029\ufeff\u0085" + `[{}]"}` + "\n", "1"},
	} {
		go c.client(test.line, ping)
		line, err := c.toClient.ReadString('\n')
		if !strings.HasPrefix(line, `{"jsonrpc":"2.0","id":`+test.id+`,"error":{"code":-32`) {
			t.Errorf("%s: the client got %q, %v", test.name, line, err)
		}
		c.serverGets(ping) // and nothing before it
	}
}

// The client would take an answer for the answer to another request of its own.
func TestRefusedNotificationIsNotAnswered(t *testing.T) {
	t.Parallel()
	var refused []string
	s := settings()
	s.Refused = func(r *message.Refusal) { refused = append(refused, r.Reason) }
	c := converse(t, s, fakeJudge{})
	go c.client(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"write"}}`+"\n", ping)
	c.serverGets(ping)
	if len(refused) != 1 || len(c.pump.refusals) != 0 { // an answer would wait until the client reads it
		t.Errorf("refused %q, %d answers", refused, len(c.pump.refusals))
	}
}

func TestHalfALineAtTheEndIsRefused(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{})
	go func() {
		c.client(ping, strings.TrimSuffix(call("1", "{}"), "\n"))
		c.fromClient.Close()
	}()
	c.serverGets(ping)
	c.serverGets("")
	c.clientGets(refusal("null", message.CodeInvalidRequest, "the message has no line feed at its end"))
}

func TestEmptyLinesAreDropped(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{})
	go c.client("\n", "\r\n", "\n"+ping, ping)
	c.serverGets(ping)
	c.serverGets(ping)
}

func TestCallIsJudged(t *testing.T) {
	t.Parallel()
	tools := make(chan string, 10)
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, from gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		tools <- from.Person.Customer + " " + call.Tool
		if call.Tool == "write" {
			return gate.Verdict{Answer: message.Error(call.ID, -1, "no")}
		}
		return gate.Verdict{Forward: call.Raw}
	}})
	open := `{ "jsonrpc":"2.0", "id":"a","method":"tools\/c\u0061ll","params":{"name":"r\u0065ad"}}` + "\r\n"
	go c.client(call("1", "{}"))
	c.clientGets(refusal("1", -1, "no"))
	go c.client(open)
	c.serverGets(open)
	if first, second := <-tools, <-tools; first != "ada write" || second != "ada read" {
		t.Errorf("judged %q, %q", first, second)
	}
}

func TestRebuiltCallIsOneLineForEveryReader(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{decide: func(context.Context, gate.Caller, message.Call, gate.Client) gate.Verdict {
		return gate.Verdict{Forward: []byte("{\"text\":\"\u2028{}\"}")}
	}})
	go c.client(call("1", `{"text":"\u2028{}"}`))
	c.serverGets(`{"text":"\u2028{}"}` + "\n")
}

func TestCallWithoutAVerdictIsAnswered(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{decide: func(context.Context, gate.Caller, message.Call, gate.Client) gate.Verdict { return gate.Verdict{} }})
	go c.client(call("1", "{}"))
	c.clientGets(refusal("1", message.CodeRefused, "NOT EXECUTED. There is no decision about this call."))
}

func TestLaterMessagesOvertakeAJudgedCall(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		<-release
		return gate.Verdict{Forward: call.Raw}
	}})
	go c.client(call("1", "{}"), ping)
	c.serverGets(ping)
	close(release)
	c.serverGets(call("1", "{}"))
}

func TestCancelledCallDoesNotRun(t *testing.T) {
	t.Parallel()
	judging, cancelled := make(chan struct{}), make(chan struct{})
	c := converse(t, settings(), fakeJudge{decide: func(ctx context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		close(judging)
		<-ctx.Done()
		close(cancelled)
		return gate.Verdict{Forward: call.Raw} // the person approved at the same time
	}})
	go c.client(call(`"a"`, "{}"))
	<-judging
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\u0061"}}` + "\n"
	go c.client(cancel)
	<-cancelled
	c.pump.requests.wait(t.Context())
	go c.client(cancel, ping)
	c.serverGets(cancel) // the second, because the first was for the gate
	c.serverGets(ping)
	go c.server("next\n")
	c.clientGets("next\n") // and no answer to the call
}

func TestIDOfACancelledCallIsUsedAgain(t *testing.T) {
	t.Parallel()
	judging, release := make(chan struct{}), map[string]chan struct{}{"first": make(chan struct{}), "second": make(chan struct{})}
	c := converse(t, settings(), fakeJudge{decide: func(ctx context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		judging <- struct{}{}
		<-release[call.Tool]
		return gate.Verdict{Forward: call.Raw}
	}})
	first, second := strings.Replace(call("1", "{}"), "write", "first", 1), strings.Replace(call("1", "{}"), "write", "second", 1)
	go c.client(first)
	<-judging
	go c.client(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`+"\n", second)
	<-judging
	close(release["first"])
	for range 1000 {
		runtime.Gosched() // the first call would leave now with the id of the second
	}
	close(release["second"])
	c.serverGets(second)
	go c.client(ping)
	c.serverGets(ping)
}

// The first call leaves the gate while the server does not read; the cancellation must not reach the server before the call.
func TestCancellationFollowsTheCall(t *testing.T) {
	t.Parallel()
	leaving := make(chan struct{})
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		defer close(leaving)
		return gate.Verdict{Forward: call.Raw}
	}})
	go c.client(call("1", "{}"))
	<-leaving
	for c.pump.requests.inGate([]byte("1")) { // until the call is written
		runtime.Gosched()
	}
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` + "\n"
	go c.client(cancel)
	c.serverGets(call("1", "{}"))
	c.serverGets(cancel)
}

func TestCallThatWaitsForTheServerCanBeCancelled(t *testing.T) {
	t.Parallel()
	judged := make(chan struct{})
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		defer close(judged)
		return gate.Verdict{Forward: call.Raw}
	}})
	c.pump.server.mu.Lock()
	go c.client(call("1", "{}"))
	<-judged
	for range 1000 {
		runtime.Gosched() // the call would leave now if it did not wait for the lock
	}
	c.client(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` + "\n")
	c.client("\n") // it is read after the cancellation
	c.pump.server.mu.Unlock()
	go c.client(ping)
	c.serverGets(ping)
}

func TestIDOfACallInTheGateIsRefused(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		<-release
		return gate.Verdict{Forward: call.Raw, Response: func([]byte) []byte { return []byte(`"changed"`) }}
	}})
	refused := refusal("null", message.CodeInvalidRequest, "a request with this id is not answered yet")
	go c.client(call(`"a"`, "{}"), call(`"\u0061"`, "{}"), `{"jsonrpc":"2.0","id":"a","method":"resources/list"}`+"\n")
	c.clientGets(refused)
	c.clientGets(refused)
	close(release)
	c.serverGets(call(`"a"`, "{}"))
	go c.client(call(`"a"`, "{}")) // its response would be changed too
	c.clientGets(refused)
	response := `{"jsonrpc":"2.0","id":"\u0061","result":{}}` + "\r\n"
	go c.server(strings.Replace(response, `"result"`, `"method":"x","params"`, 1), response, response)
	c.clientGets(strings.Replace(response, `"result"`, `"method":"x","params"`, 1)) // a request of the server with the same id
	c.clientGets(`"changed"` + "\r\n")
	c.clientGets(response)
	go c.client(call(`"a"`, "{}"))
	c.serverGets(call(`"a"`, "{}"))
}

func TestCancelledCallAtTheServerIsForgotten(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		return gate.Verdict{Forward: call.Raw, Response: func([]byte) []byte { return []byte(`"changed"`) }}
	}})
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` + "\n"
	for range 2 {
		go c.client(call("1", "{}"))
		c.serverGets(call("1", "{}"))
		go c.client(cancel)
		c.serverGets(cancel)
	}
}

func TestInitializeTellsTheVersionAndTheCapabilities(t *testing.T) {
	t.Parallel()
	from := make(chan gate.Caller, 10)
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, caller gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		from <- caller
		return gate.Verdict{Forward: call.Raw}
	}})
	initialize := `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}}}}` + "\n"
	response := `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}` + "\n"
	go c.client(initialize)
	c.serverGets(initialize)
	go c.server(strings.Replace(response, `"id":0`, `"id":1`, 1), response)
	c.clientGets(strings.Replace(response, `"id":0`, `"id":1`, 1))
	c.clientGets(response)
	go c.client(call("1", "{}"))
	c.serverGets(call("1", "{}"))
	if got := <-from; got.Version != "2025-11-25" || !got.URLElicitation || got.Person.Customer != "ada" {
		t.Errorf("%+v", got)
	}
}

func TestListOfToolsIsShown(t *testing.T) {
	t.Parallel()
	listed := make(chan string, 10)
	s := settings()
	s.Listed = func(result json.RawMessage) { listed <- string(result) }
	c := converse(t, s, fakeJudge{})
	request := `{"jsonrpc":"2.0","id":"l","method":"tools/list"}` + "\n"
	go c.client(request)
	c.serverGets(request)
	tools := `{"tools":["` + strings.Repeat("long", testMax/8) + `"]}`
	response := `{"jsonrpc":"2.0","id":"l","result":` + tools + `}` + "\n"
	go c.server(response)
	c.clientGets(response)
	if got := <-listed; got != tools {
		t.Errorf("%.100q", got)
	}
}

func TestResponsesToTheGateAreDelivered(t *testing.T) {
	t.Parallel()
	delivered := make(chan string, 1)
	c := converse(t, settings(), fakeJudge{deliver: func(m message.Message) bool {
		if string(m.ID) != `"countersign-1"` {
			return false
		}
		delivered <- string(m.Result)
		return true
	}})
	other := `{"jsonrpc":"2.0","id":"other","result":{}}` + "\n"
	go c.client(`{"jsonrpc":"2.0","id":"countersign-1","result":{"action":"accept"}}`+"\n", other)
	c.serverGets(other)
	if got := <-delivered; got != `{"action":"accept"}` {
		t.Errorf("%q", got)
	}
}

func TestThousandCallsInFlight(t *testing.T) {
	t.Parallel()
	const calls = 1000
	var waiting sync.WaitGroup
	waiting.Add(calls)
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, to gate.Client) gate.Verdict {
		waiting.Done()
		waiting.Wait() // all calls are judged at the same time
		return gate.Verdict{Forward: call.Raw, Response: func(response []byte) []byte { return response }}
	}})
	go func() {
		for i := range calls {
			c.client(call(fmt.Sprint(i), "{}"))
		}
	}()
	for range calls {
		line, err := c.toServer.ReadBytes('\n')
		m, refused := message.Parse(withoutEnd(line))
		if err != nil || refused != nil {
			t.Fatal(err, refused)
		}
		response := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`+"\n", m.ID)
		go c.server(response)
		c.clientGets(response)
	}
	r := c.pump.requests
	r.wait(t.Context())
	if len(r.judged) != 0 || len(r.awaited) != 0 || r.calls != 0 || r.bytes != 0 {
		t.Errorf("these requests are kept: %+v", r.judged)
	}
}

func TestTooManyCallsAreRefused(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		<-release
		return gate.Verdict{Answer: message.Error(call.ID, -1, "no")}
	}})
	defer close(release)
	long := `{"x":"` + strings.Repeat("x", testMax-200) + `"}`
	go c.client(call("1", long), call("2", long), call("3", long), call("4", long), call("5", long), ping)
	c.serverGets(ping)
	c.clientGets(refusal("5", message.CodeRefused, "NOT EXECUTED. too many calls wait"))
}
