// Package stdio stands between an MCP client on stdin and stdout and an MCP server in a child process. It gives the calls of tools to
// a judge. All other messages pass in order and without a change. A call that is judged can be overtaken by later messages.
//
// Nothing that it keeps grows without a limit: if one side does not read, the gate stops reading from the other side.
package stdio

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/services/gate/internal/child"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

const (
	// settleTime is how long calls are judged after the client closed stdin. A call that waits for a person ends then.
	settleTime = time.Second
	// drainTime is how long the client has to read the last messages, after the server ended.
	drainTime = 5 * time.Second
)

// Settings of Run. Listed and Refused may be nil.
type Settings struct {
	// Command is the server's program and its arguments.
	Command []string
	// Environment is the server's environment, in the form of os.Environ. It must not contain the gate's keys.
	Environment []string
	// Person is on whose behalf the client acts.
	Person client.Person
	// MaxMessage is the longest message of the client that is accepted, in bytes. The calls that are judged at the same time can have
	// four times as many bytes together.
	MaxMessage int
	Log        *slog.Logger
	// Listed gets the result of each tools/list. The messages of the server wait until it returns.
	Listed func(result json.RawMessage)
	// Refused is called for each message of the client that is refused.
	Refused func(*message.Refusal)
}

// Run starts the server and passes messages until the client closes stdin, the server ends or closes its stdout, or ctx ends. Then it
// ends the server and returns the server's exit code. Calls that are still judged are answered with an error. The error is that the
// server could not be started. Run closes stdin and stdout if they are io.Closers; it does not wait for a Read or Write that does not
// end.
func Run(ctx context.Context, s Settings, judge gate.Judge, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	// A client that does not read stdout any more must not kill the gate before it has ended the server.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	server, err := child.Start(s.Command, s.Environment, stderr)
	if err != nil {
		return 0, err
	}
	defer server.Stdout.Close()
	p := newPump(s, judge, server.Stdin, stdout)
	fromClient, fromServer := make(chan error, 1), make(chan error, 1)
	go func() { fromClient <- p.fromClient(stdin) }()
	go func() { fromServer <- p.fromServer(server.Stdout) }()
	var reason string
	select {
	case <-ctx.Done():
		reason = "the gate was told to end"
	case <-server.Exited():
		reason = "the MCP server ended"
	case err = <-fromServer:
		fromServer <- err
		reason = "the MCP server closed stdout, or the client does not read any more"
	case err = <-fromClient:
		reason = "the client closed stdin, or the MCP server does not read any more"
		settled, cancel := context.WithTimeout(ctx, settleTime)
		p.requests.wait(settled)
		cancel()
	}
	s.Log.Info("ending the MCP server", "reason", reason, "detail", detail(err))
	p.requests.end()
	code := server.Stop()
	drained, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	select {
	case <-fromServer:
	case <-drained.Done():
	}
	p.requests.wait(drained)
	closeIfCloser(stdin)
	closeIfCloser(stdout)
	return code, nil
}

// detail is the text of an error, or empty.
func detail(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func closeIfCloser(stream any) {
	if c, ok := stream.(io.Closer); ok {
		c.Close()
	}
}
