package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is one fenced block of a page.
type block struct {
	// info is what follows the opening fence, such as "sh runnable" or "python file=guard.py".
	info, text string
	line       int
}

// readBlocks returns the fenced blocks of a page.
func readBlocks(t *testing.T, path string) []block {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	inside := false
	for i, line := range strings.Split(string(content), "\n") {
		switch info, fence := strings.CutPrefix(line, "```"); {
		case fence && !inside:
			blocks, inside = append(blocks, block{info: info, line: i + 1}), true
		case fence:
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line + "\n"
		}
	}
	return blocks
}

// step is a runnable block and the lines that its output must contain.
type step struct {
	block
	want []string
}

// prepare writes the page's files into folder and returns its runnable blocks.
func prepare(t *testing.T, folder string, blocks []block) []step {
	t.Helper()
	var steps []step
	for _, b := range blocks {
		if _, name, found := strings.Cut(b.info, " file="); found {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case b.info == "sh runnable":
			steps = append(steps, step{block: b})
		case b.info == "output" && len(steps) == 0:
			t.Fatalf("line %d: an output block follows no runnable block", b.line)
		case b.info == "output":
			steps[len(steps)-1].want = strings.Split(strings.TrimSpace(b.text), "\n")
		}
	}
	return steps
}

// script runs the steps in one shell, so that a later block sees the variables of an earlier one. The output of the block
// at line N is in the file N.out.
func script(steps []step) string {
	var text strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&text, "{\n%s} >%d.out 2>&1\n", s.text, s.line)
	}
	return text.String()
}

// contains reports whether output contains want, in which … stands for any text.
func contains(output, want string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*")
	return regexp.MustCompile(pattern).MatchString(output)
}
