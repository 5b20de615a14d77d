package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	return m.Run(), nil
}
