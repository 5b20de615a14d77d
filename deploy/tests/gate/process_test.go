package gate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// process is a program whose stdin and stdout are in the hands of the test.
type process struct {
	*child.Process
	t     testing.TB
	in    io.WriteCloser
	lines chan string // the lines of stdout, without their ends; closed at its end
	log   string      // the path of what it wrote to stderr
}

// gateEnvironment is the environment of a gate that asks d. It has no folder for the state, which other tests would share.
func gateEnvironment(d *clienttest.Countersign) []string {
	return append(os.Environ(), "HOME=", "XDG_STATE_HOME=", "COUNTERSIGN_URL="+d.URL, "COUNTERSIGN_INSTANCE="+clienttest.Instance, "COUNTERSIGN_PROXY_KEY="+clienttest.ProxyKey,
		"COUNTERSIGN_CUSTOMER="+clienttest.Customer)
}

// newCountersign returns a double whose policy protects the tools of these tests.
func newCountersign(t testing.TB) *clienttest.Countersign {
	d := clienttest.New(t)
	d.Mode("approval", protected...)
	return d
}

// startProcess starts a program. It ends with the test, and its log must have no secrets.
func startProcess(t testing.TB, environment []string, program string, args ...string) *process {
	t.Helper()
	return startCommand(t, environment, nil, program, args...)
}

// startCommand starts a program whose stderr is a file, or stderr.
func startCommand(t testing.TB, environment []string, stderr *os.File, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, lines: make(chan string, 5000), log: filepath.Join(folder, fmt.Sprintf("log-%d", ids.Add(1)))}
	cmd := exec.Command(program, args...)
	cmd.Env = environment
	log, err := os.Create(p.log)
	must(t, err)
	defer log.Close()
	cmd.Stderr = log
	if stderr != nil {
		cmd.Stderr = stderr
	}
	// Not StdoutPipe: Wait would close it before everything is read.
	out, outside, err := os.Pipe()
	must(t, err)
	cmd.Stdout = outside
	inside, in, err := os.Pipe()
	must(t, err)
	cmd.Stdin, p.in = inside, in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Process, err = child.Start(cmd, syscall.SIGKILL)
	outside.Close()
	inside.Close()
	must(t, err)
	go func() {
		defer close(p.lines)
		defer out.Close()
		for reader := bufio.NewReader(out); ; {
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			p.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() {
		p.in.Close()
		if err := p.Stop(syscall.SIGTERM, 20*time.Second); err != nil {
			t.Errorf("%s: %v", program, err)
		}
		p.checkLog()
	})
	return p
}

// checkLog checks that the log has no secrets: no link, no receipt, no key and no arguments.
func (p *process) checkLog() {
	text, err := os.ReadFile(p.log)
	must(p.t, err)
	for _, secret := range []string{"cap_canary", "receipt.canary", clienttest.ProxyKey, "Bob", "Eve"} {
		if strings.Contains(string(text), secret) {
			p.t.Errorf("the log contains %q:\n%s", secret, child.LastLines(p.log, 20))
		}
	}
	for _, end := range []string{"panic:", "DATA RACE", "fatal error:"} {
		if strings.Contains(string(text), end) {
			p.t.Errorf("%s\n%s", end, text[strings.Index(string(text), end):])
		}
	}
	if p.t.Failed() {
		p.t.Logf("the log of the process:\n%s", child.LastLines(p.log, 10))
	}
}

// startStdioGate starts a gate in front of a recorder.
func startStdioGate(t testing.TB, d *clienttest.Countersign, r *record, gateFlags []string, recorderFlags ...string) *process {
	t.Helper()
	args := append(append([]string{}, gateFlags...), "--", recorderBinary(t), "-record", r.path)
	return startProcess(t, gateEnvironment(d), gateBinary(t), append(args, recorderFlags...)...)
}

// startWithSlowStderr starts a gate whose server writes to stderr without end, for a client that reads 64 KiB of it each second.
func startWithSlowStderr(t testing.TB, d *clienttest.Countersign, r *record) *process {
	t.Helper()
	out, in, err := os.Pipe()
	must(t, err)
	p := startCommand(t, gateEnvironment(d), in, gateBinary(t), "--wait", "0s", "--", recorderBinary(t), "-record", r.path, "-noise")
	must(t, in.Close())
	t.Cleanup(func() { out.Close() })
	go func() {
		for buffer := make([]byte, 64<<10); ; time.Sleep(time.Second) {
			if _, err := out.Read(buffer); err != nil {
				return
			}
		}
	}()
	return p
}

// write writes bytes to stdin.
func (p *process) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatalf("the program does not read its stdin: %v\n%s", err, child.LastLines(p.log, 10))
	}
}

// next returns the next line of stdout.
func (p *process) next() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("the program ended:\n%s", child.LastLines(p.log, 10))
		}
		return line
	case <-time.After(patience):
		p.t.Fatalf("no answer within %v:\n%s", patience, child.LastLines(p.log, 10))
	}
	return ""
}

// answers writes a line, and a ping behind it. It returns what came back before the ping's answer and, if the line has an answer,
// until it came.
func (p *process) answers(line string, answered bool) (answers []string) {
	p.t.Helper()
	ping := fmt.Sprintf("ping-%d", ids.Add(1))
	p.write(line + "\n" + `{"jsonrpc":"2.0","id":"` + ping + `","method":"ping"}` + "\n")
	for ponged := false; !ponged || answered; {
		line := p.next()
		switch {
		case strings.Contains(line, ping):
			ponged = true
		case isAnswer(line):
			answers, answered = append(answers, line), false
		}
	}
	return answers
}

// isAnswer reports whether a line is a response.
func isAnswer(line string) bool {
	var m struct{ Method string }
	return json.Unmarshal([]byte(line), &m) != nil || m.Method == ""
}

// call writes a call and returns its answer. Other answers are dropped.
func (p *process) call(id, tool, arguments string) string {
	p.t.Helper()
	p.write(toolCall(id, tool, arguments) + "\n")
	return p.answerOf(id)
}

// answerOf returns the answer with an id.
func (p *process) answerOf(id string) string {
	p.t.Helper()
	for {
		if line := p.next(); strings.Contains(line, `"`+id+`"`) && isAnswer(line) {
			return line
		}
	}
}

func toolCall(id, tool, arguments string) string {
	return `{"jsonrpc":"2.0","id":"` + id + `","method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
}
