package stdio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
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
