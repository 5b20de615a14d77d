package stdio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/services/gate/internal/child"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// serverMode is the argument that makes the test binary a server.
const serverMode = "STDIO_TEST_SERVER"

func TestMain(m *testing.M) {
	switch {
	case child.IsSupervisor(os.Args):
		os.Exit(child.Supervise())
	case len(os.Args) > 2 && os.Args[1] == serverMode:
		os.Exit(behave(os.Args[2]))
	}
	os.Exit(m.Run())
}

// behave is a server.
func behave(mode string) int {
	in := bufio.NewReader(os.Stdin)
	switch mode {
	case "echo":
		io.Copy(os.Stdout, in)
		return 3
	case "ends after one line":
		in.ReadString('\n')
		fmt.Print("last words\nhalf a line")
		return 9
	case "closes stdout":
		in.ReadString('\n')
		os.Stdout.Close()
		io.Copy(io.Discard, in)
		return 4
	case "leaves a process that holds stdout":
		in.ReadString('\n')
		other := exec.Command(os.Args[0], serverMode, "forever")
		other.Stdout = os.Stdout
		if err := other.Start(); err != nil {
			return 1
		}
		return 5
	case "gate":
		s := settings()
		s.Command, s.Environment = []string{os.Args[0], serverMode, "echo"}, os.Environ()
		code, err := Run(context.Background(), s, fakeJudge{}, os.Stdin, os.Stdout, os.Stderr)
		if err != nil {
			return 1
		}
		return code
	case "forever":
		time.Sleep(time.Hour)
	case "closes stdin":
		os.Stdin.Close()
		fmt.Println("closed")
		io.Copy(os.Stdout, endless(1<<40))
	case "writes without end":
		go io.Copy(os.Stdout, endless(1<<40))
		io.Copy(io.Discard, in)
		return 6
	}
	return 0
}

// running is a Run with both ends of its client's streams.
type running struct {
	t      *testing.T
	stdin  *io.PipeWriter
	stdout *bufio.Reader
	stop   context.CancelFunc
	ended  sync.WaitGroup
	code   int
	err    error
}

func start(t *testing.T, mode string, judge gate.Judge) *running {
	t.Helper()
	s := settings()
	s.Command, s.Environment = []string{os.Args[0], serverMode, mode}, os.Environ()
	stdin, fromClient := io.Pipe()
	toClient, stdout := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, stdin: fromClient, stdout: bufio.NewReader(toClient), stop: cancel}
	r.ended.Go(func() { r.code, r.err = Run(ctx, s, judge, stdin, stdout, os.Stderr) })
	t.Cleanup(func() {
		cancel()
		r.ended.Wait()
	})
	return r
}

func (r *running) client(lines ...string) {
	for _, line := range lines {
		if _, err := io.WriteString(r.stdin, line); err != nil {
			r.t.Errorf("the gate does not read from the client: %v", err)
		}
	}
}

func (r *running) clientGets(want string) {
	r.t.Helper()
	if line, err := r.stdout.ReadString('\n'); line != want {
		r.t.Fatalf("the client got\n%.300q, want\n%.300q, %v", line, want, err)
	}
}

func (r *running) endsWith(code int) {
	r.t.Helper()
	go io.Copy(io.Discard, r.stdout)
	r.ended.Wait()
	if r.code != code || r.err != nil {
		r.t.Errorf("the exit code is %d, %v", r.code, r.err)
	}
}

// waitingJudge lets every call wait until its context ends.
func waitingJudge() (fakeJudge, <-chan struct{}) {
	judging := make(chan struct{}, 10)
	return fakeJudge{decide: func(ctx context.Context, _ gate.Caller, _ message.Call, _ gate.Client) gate.Verdict {
		judging <- struct{}{}
		<-ctx.Done()
		return gate.Verdict{}
	}}, judging
}

var ending = refusal("1", message.CodeRefused, "NOT EXECUTED. The MCP server has ended, or the gate ends.")

func TestClientThatClosesStdin(t *testing.T) {
	t.Parallel()
	r := start(t, "echo", fakeJudge{})
	go func() {
		r.client(ping, call("1", "{}"))
		r.stdin.Close()
	}()
	r.clientGets(ping)
	r.clientGets(call("1", "{}")) // the call is judged although stdin is closed
	r.endsWith(3)
}

func TestClientThatClosesStdinWhileACallWaits(t *testing.T) {
	t.Parallel()
	judge, _ := waitingJudge()
	r := start(t, "echo", judge)
	go func() {
		r.client(call("1", "{}"))
		r.stdin.Close()
	}()
	r.clientGets(ending)
	r.endsWith(3)
}

func TestServerThatEndsWhileACallWaits(t *testing.T) {
	t.Parallel()
	judge, judging := waitingJudge()
	r := start(t, "ends after one line", judge)
	go func() {
		r.client(call("1", "{}"))
		<-judging
		r.client(ping)
	}()
	got, _ := io.ReadAll(r.stdout)
	// The server's messages and the gate's answer can come in each order.
	if words := "last words\n"; !strings.Contains(string(got), words) || !strings.Contains(string(got), "half a line") ||
		!(strings.HasPrefix(string(got), ending) || strings.HasSuffix(string(got), "\n"+ending)) {
		t.Errorf("%q", got)
	}
	r.endsWith(9)
}

func TestServerThatClosesStdoutIsEnded(t *testing.T) {
	t.Parallel()
	judge, judging := waitingJudge()
	r := start(t, "closes stdout", judge)
	go func() {
		r.client(call("1", "{}"))
		<-judging
		r.client(ping)
	}()
	r.clientGets(ending)
	r.endsWith(4)
}

func TestServerThatLeavesAProcess(t *testing.T) {
	t.Parallel()
	r := start(t, "leaves a process that holds stdout", fakeJudge{})
	go r.client(ping)
	r.endsWith(5)
}

func TestServerThatClosesStdin(t *testing.T) {
	t.Parallel()
	r := start(t, "closes stdin", fakeJudge{})
	r.clientGets("closed\n")
	go r.client(ping)
	r.endsWith(128 + 15)
}

func TestGateThatIsToldToEnd(t *testing.T) {
	t.Parallel()
	judge, judging := waitingJudge()
	r := start(t, "echo", judge)
	go r.client(call("1", "{}"))
	<-judging
	r.stop()
	r.clientGets(ending)
	r.endsWith(3)
}

// The gate ends its server although it cannot write to its client.
func TestGateIsToldToEndWhileTheClientDoesNotRead(t *testing.T) {
	t.Parallel()
	r := start(t, "writes without end", fakeJudge{})
	go r.client("refused\n", ping)
	if _, err := r.stdout.Peek(1); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.ended.Wait()
	if r.code != 6 || r.err != nil {
		t.Errorf("the exit code is %d, %v", r.code, r.err)
	}
}

// A write to a closed stdout would kill the gate with SIGPIPE, and the server with it.
func TestServerEndsInOrderWhenTheClientClosesStdout(t *testing.T) {
	t.Parallel()
	gate := exec.Command(os.Args[0], serverMode, "gate")
	stdin, err := gate.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := gate.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gate.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(stdin, ping)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != ping {
		t.Errorf("%q, %v", line, err)
	}
	stdout.Close()
	io.WriteString(stdin, ping)
	gate.Wait()
	if code := gate.ProcessState.ExitCode(); code != 3 {
		t.Errorf("the gate ended with %v instead of the exit code of the server", gate.ProcessState)
	}
}

func TestServerThatCannotStart(t *testing.T) {
	t.Parallel()
	s := settings()
	s.Command = []string{"/does/not/exist"}
	if _, err := Run(t.Context(), s, fakeJudge{}, strings.NewReader(""), io.Discard, io.Discard); err == nil {
		t.Error("no error")
	}
}
