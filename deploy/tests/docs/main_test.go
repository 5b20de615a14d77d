package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/demostack"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

var (
	stack *demostack.Stack
	// stackFolder is the folder in which the stack runs. Its subfolder .local has the files that a reader has in .local.
	stackFolder string
)

func TestMain(m *testing.M) {
	code, err := runOnStack(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runOnStack(m *testing.M) (code int, err error) {
	programs := map[string]string{"bash": "bash", "curl": "curl", "python3": "python3", "node": "nodejs", "npx": "npm"}
	if err := localstores.Programs(context.Background(), os.Stderr, programs); err != nil {
		return 1, err
	}
	if stackFolder, err = os.MkdirTemp("", "countersign-docs-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stackFolder)) }()
	// Postgres runs as another user when the test runs as root.
	if err := os.Chmod(stackFolder, 0o711); err != nil {
		return 1, err
	}
	if stack, err = demostack.Start(stackFolder); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stack.Stop()) }()
	if err := buildGate(filepath.Join(stackFolder, ".local", "bin", "countersign-gate")); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// buildGate builds the MCP gate where `make run` puts it.
func buildGate(path string) error {
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "github.com/countersign/countersign/services/gate")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the gate: %w\n%s", err, out)
	}
	return nil
}
