package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pageTime is the time limit for the commands of one page. The first run of a page may download an npm package.
const pageTime = 5 * time.Minute

// The pages run one after another, because they share the demo's data.
func TestRunnableCommands(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	runnable := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		t.Run(filepath.Base(page), func(t *testing.T) {
			folder := t.TempDir()
			steps := prepare(t, folder, readBlocks(t, page))
			runnable += len(steps)
			runSteps(t, folder, steps)
		})
	}
	if runnable == 0 {
		t.Error("no page has a runnable block")
	}
}

func runSteps(t *testing.T, folder string, steps []step) {
	t.Helper()
	if err := os.Symlink(filepath.Join(stackFolder, ".local"), filepath.Join(folder, ".local")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pageTime)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script(steps))
	shell.Dir = folder
	// A reader runs the programs in the checkout, where Go finds pkg/client in the workspace.
	work, err := filepath.Abs(filepath.Join("..", "..", "..", "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	shell.Env = append(os.Environ(), "GOWORK="+work, "XDG_STATE_HOME="+folder)
	shell.WaitDelay = 10 * time.Second
	failed := shell.Run()
	for _, s := range steps {
		output, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("%d.out", s.line)))
		if err != nil {
			t.Fatalf("line %d did not run", s.line)
		}
		for _, want := range s.want {
			if !contains(string(output), want) {
				t.Errorf("line %d: the output does not contain %s:\n%s", s.line, want, output)
			}
		}
		if failed != nil {
			t.Logf("line %d:\n%s", s.line, strings.TrimSpace(string(output)))
		}
	}
	if failed != nil {
		t.Errorf("the commands failed: %v", failed)
	}
}
