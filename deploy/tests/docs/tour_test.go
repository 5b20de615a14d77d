package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tour that `make run` prints works as it is printed, in bash and in sh.
func TestTourOfMakeRun(t *testing.T) {
	printed, err := os.ReadFile(filepath.Join(stackFolder, "up.log"))
	if err != nil {
		t.Fatal(err)
	}
	_, commands, found := strings.Cut(string(printed), "to paste line by line:")
	commands, _, ended := strings.Cut(commands, "The console for admins:")
	if !found || !ended {
		t.Fatalf("there is no tour in:\n%s", printed)
	}
	for _, shell := range []string{"bash", "sh"} {
		cmd := exec.CommandContext(t.Context(), shell)
		cmd.Dir, cmd.Stdin = t.TempDir(), strings.NewReader(commands) // as pasted: the shell reads one line, runs it, and reads the next
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", shell, err)
		}
		rest := string(out)
		for _, want := range []string{`"has_pin":true`, `"reason":"pin_needed"`, `"verified":true`, `"reason":"session_active"`, `"status":"pending"`,
			"Send 25.00 EUR to Ada Lovelace", "to.iban: DE89370400440532013000", "The request is approved.", `"receipt":"ey`, `"code":"approval_used"`} {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Errorf("%s: after the outputs before it, %s is missing in:\n%s", shell, want, out)
				break
			}
			rest = after
		}
	}
}
