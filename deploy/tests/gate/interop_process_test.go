//go:build interop

package gate

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// startTime limits the start of a process.
const startTime = 30 * time.Second

var (
	buildToolServer = sync.OnceValues(func() (string, error) { return build("toolserver", "deploy/tests/gate/toolserver") })
	buildEverything = sync.OnceValues(func() (string, error) {
		path := filepath.Join(folder, "everything-server")
		out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "github.com/modelcontextprotocol/go-sdk/conformance/everything-server").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("building everything-server: %w\n%s", err, out)
		}
		return path, nil
	})
)

// settings is the environment of a gate that asks a double of Countersign.
func settings(t *testing.T, countersign *clienttest.Countersign) map[string]string {
	return map[string]string{
		"COUNTERSIGN_URL": countersign.URL, "COUNTERSIGN_INSTANCE": clienttest.Instance, "COUNTERSIGN_PROXY_KEY": clienttest.ProxyKey,
		"COUNTERSIGN_CUSTOMER": clienttest.Customer, "COUNTERSIGN_GATE_STATE": t.TempDir(),
	}
}

// listen starts a program that listens on HTTP, and returns its URL. args gets the address. The program ends with the test.
func listen(t *testing.T, environment map[string]string, program string, args func(address string) []string) string {
	t.Helper()
	address := freeAddress(t)
	command := exec.Command(program, args(address)...)
	command.Env = os.Environ()
	for name, value := range environment {
		command.Env = append(command.Env, name+"="+value)
	}
	output := &buffer{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(program), output)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = connection.Close()
			return "http://" + address + "/mcp"
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v", filepath.Base(program), err)
		case <-ctx.Done():
			t.Fatalf("%s does not listen: %v", filepath.Base(program), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeAddress returns a loopback address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// gateURL starts a gate in front of an MCP server, and returns the URL of the gate.
func gateURL(t *testing.T, countersign *clienttest.Countersign, upstream string, flags ...string) string {
	t.Helper()
	return listen(t, settings(t, countersign), gateBinary(t), func(address string) []string {
		return append([]string{"--upstream", upstream, "--listen", address}, flags...)
	})
}

// buffer collects the output of a process.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// calls returns the calls that a toolserver ran: tool, arguments and receipt of each.
func calls(t *testing.T, record string) [][]string {
	t.Helper()
	content, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for line := range strings.Lines(string(content)) {
		all = append(all, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return all
}
