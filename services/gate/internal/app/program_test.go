package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/services/gate/internal/child"
)

// playServer is the variable that makes the test's program an MCP server.
const playServer = "GATE_TEST_SERVER"

func TestMain(m *testing.M) {
	switch {
	case child.IsSupervisor(os.Args):
		os.Exit(child.Supervise())
	case os.Getenv(playServer) != "":
		serve(os.Stdin, os.Stdout)
		os.Exit(7)
	}
	os.Exit(m.Run())
}

const toolList = `{"tools":[
	{"name":"read","title":"Read a file","annotations":{"readOnlyHint":true},"inputSchema":{"required":["path"]}},
	{"name":"write","annotations":{"readOnlyHint":false},"inputSchema":{"required":["path","content"]}},
	{"name":"touch","annotations":{"destructiveHint":false}},
	{"name":"evil\u001b[2J*"}]}`

// reply returns the response of the test's server, or "". A call's result has its params and the environment of the server.
func reply(line []byte) string {
	var q struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if json.Unmarshal(line, &q) != nil || q.ID == nil {
		return ""
	}
	result := `{}`
	switch q.Method {
	case "initialize":
		result = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}`
	case "tools/list":
		result = strings.NewReplacer("\n", "", "\t", "").Replace(toolList)
	case "tools/call":
		environment, _ := json.Marshal(os.Environ())
		result = fmt.Sprintf(`{"content":[],"structuredContent":{"ran":%s,"environment":%s}}`, q.Params, environment)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, result)
}

func serve(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if line := reply(lines.Bytes()); line != "" {
			fmt.Fprintln(out, line)
		}
	}
}

// environmentOf returns an environment in which every setting that the gate needs is set.
func environmentOf(d *clienttest.Countersign) map[string]string {
	return map[string]string{
		"PATH": os.Getenv("PATH"), playServer: "1", "KEPT": "kept",
		"COUNTERSIGN_URL": d.URL, "COUNTERSIGN_INSTANCE": clienttest.Instance, "COUNTERSIGN_PROXY_KEY": clienttest.ProxyKey,
		"COUNTERSIGN_CUSTOMER": clienttest.Customer, "COUNTERSIGN_ADMIN_KEY": "csk_canary_admin_key",
	}
}

// output is what a program prints. It can be read while the program runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // gets a value after each write, unless it has one
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// program is a Program with its output.
type program struct {
	Program
	out, log *output
}

func newProgram(environment map[string]string, args ...string) program {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		env = append(env, name+"="+environment[name])
	}
	out, log := newOutput(), newOutput()
	return program{Program{Version: "v9", Args: args, Env: env, In: strings.NewReader(""), Out: out, Err: log}, out, log}
}

// runs runs the program and returns its exit code and what it printed.
func runs(t *testing.T, environment map[string]string, args ...string) (code int, out, log string) {
	t.Helper()
	p := newProgram(environment, args...)
	code = p.Run(t.Context())
	return code, p.out.String(), p.log.String()
}

// gateTo returns arguments that put the gate in front of the test's server.
func gateTo(args ...string) []string { return append(args, "--", os.Args[0]) }

// agent is an MCP client over the standard input and output of a gate that runs.
type agent struct {
	t     *testing.T
	in    io.WriteCloser
	lines *bufio.Scanner
	code  chan int
	log   *output
}

func startGate(t *testing.T, environment map[string]string, args ...string) *agent {
	t.Helper()
	p := newProgram(environment, args...)
	in, toGate := io.Pipe()
	fromGate, out := io.Pipe()
	p.In, p.Out = in, out
	c := &agent{t: t, in: toGate, lines: bufio.NewScanner(fromGate), code: make(chan int, 1), log: p.log}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.code <- p.Run(ctx)
		out.Close()
	}()
	t.Cleanup(func() {
		toGate.Close()
		fromGate.Close()
		cancel()
		<-ended
	})
	return c
}

// asks sends a request and returns the next line of the gate.
func (c *agent) asks(method, params string) string {
	c.t.Helper()
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`+"\n", method, params)
	if !c.lines.Scan() {
		c.t.Fatalf("the gate ended: %s", c.log)
	}
	return c.lines.Text()
}

// logged waits until the program has printed a log line with a message, and returns an attribute of it.
func (o *output) logged(t *testing.T, message, attribute string) string {
	t.Helper()
	for {
		for line := range strings.Lines(o.String()) {
			var content map[string]any
			if json.Unmarshal([]byte(line), &content) == nil && content["msg"] == message {
				return fmt.Sprint(content[attribute])
			}
		}
		select {
		case <-o.more:
		case <-t.Context().Done():
			t.Fatalf("no line %q in %s", message, o)
		}
	}
}
