package gate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// folder contains the programs that the tests of one run share.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "countersign-gate-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var (
	buildGate     = sync.OnceValues(func() (string, error) { return build("countersign-gate", "services/gate") })
	buildRecorder = sync.OnceValues(func() (string, error) { return build("recorder", "deploy/tests/gate/recorder") })
)

// gateBinary returns the path of the gate's program, as users run it.
func gateBinary(t testing.TB) string { return built(t, buildGate) }

// recorderBinary returns the path of the server that records what it ran.
func recorderBinary(t testing.TB) string { return built(t, buildRecorder) }

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build builds a package of this repository as a program with this name, and returns the program's path.
func build(name, directory string, flags ...string) (string, error) {
	path := filepath.Join(folder, name)
	args := append(append([]string{"build", "-buildvcs=false", "-o", path}, flags...), "github.com/countersign/countersign/"+directory)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return path, nil
}
