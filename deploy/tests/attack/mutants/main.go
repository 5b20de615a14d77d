// Command mutants checks the tests of the guess budget, of approvals and of the gate. In a copy of the repository it breaks one rule of the code at a time
// (a mutant) and runs the tests. If no test fails, the mutant survives, and a test is missing. Arguments select the mutants
// whose names contain one of them. The command needs TEST_DATABASE_URL and TEST_REDIS_URL, which make mutants sets.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// tested are the packages whose tests run for each mutant.
var tested = []string{
	"./pkg/approval", "./pkg/budget", "./pkg/keyring", "./pkg/pin", "./pkg/policy", "./pkg/retention", "./pkg/session", "./pkg/signing", "./pkg/skill", "./pkg/slowhash", "./pkg/stores",
	"./services/auth/internal/password", "./services/auth/internal/usersession", "./services/pin-admin/internal/decision", "./services/pin-admin/internal/enrolment",
	"./services/pin-internal/internal/api", "./services/gate/internal/gate", "./services/gate/internal/message",
}

func main() {
	survivors, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

// run tries all mutants, or the mutants whose name contains one of the words. It returns how many survive.
func run(words []string) (survivors int, err error) {
	root, err := repository()
	if err != nil {
		return 0, err
	}
	tree, err := os.MkdirTemp("", "countersign-mutants-")
	if err != nil {
		return 0, fmt.Errorf("creating a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tree)) }()
	if err := copyTree(root, tree); err != nil {
		return 0, err
	}
	if out, err := test(tree); err != nil {
		return 0, fmt.Errorf("the tests fail without a mutant: %w\n%s", err, out)
	}
	tried := 0
	for _, m := range mutants {
		if !matches(m.name, words) {
			continue
		}
		tried++
		began := time.Now()
		failed, err := m.failingTest(tree)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", m.name, err)
		}
		result := "killed by " + failed
		if failed == "" {
			survivors++
			result = "SURVIVES"
		}
		fmt.Printf("%-60s %s (%s)\n", m.name, result, time.Since(began).Round(time.Second))
	}
	fmt.Printf("%d mutants, %d survive\n", tried, survivors)
	return survivors, nil
}

func matches(name string, words []string) bool {
	for _, w := range words {
		if strings.Contains(name, w) {
			return true
		}
	}
	return len(words) == 0
}

// failingTest applies the mutant in tree, runs the tests, and restores the files. It runs the tests of the changed packages first,
// because one of them usually fails. It returns the name of the first test that fails, or an empty string if no test fails.
func (m mutant) failingTest(tree string) (name string, err error) {
	for _, e := range m.edits {
		path := filepath.Join(tree, e.file)
		original, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(original), e.old); n != 1 {
			return "", fmt.Errorf("%s contains this text %d times, want 1:\n%s", e.file, n, e.old)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(original), e.old, e.new, 1)), 0o600); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, os.WriteFile(path, original, 0o600)) }()
	}
	out, err := test(tree, m.edits...)
	if err == nil {
		return "", nil
	}
	if code := wrongSQL(out); code != "" {
		return "", fmt.Errorf("the mutant is not valid SQL (%s), so every test that runs the statement fails:\n%s", code, out)
	}
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			return strings.Fields(name)[0], nil
		}
	}
	return "", fmt.Errorf("the tests did not run: %s", out)
}

var sqlState = regexp.MustCompile(`\((42[0-9A-Z]{3})\)`)

// wrongSQL returns the code with which Postgres refused a wrong statement (class 42), or an empty string. A missing privilege
// (42501) does not count: a mutant may change what a statement may do.
func wrongSQL(output string) string {
	for _, found := range sqlState.FindAllStringSubmatch(output, -1) {
		if found[1] != "42501" {
			return found[1]
		}
	}
	return ""
}

// test runs the tests in tree, first those of the packages with these edits. It stops at the first package with a failing test.
// It skips the tests that compare the text of the SQL statements with golden files, and the test of the plans: they fail for many
// changes of a statement, so they would hide a missing test.
func test(tree string, edits ...edit) (string, error) {
	changed := func(name string) bool {
		return slices.ContainsFunc(edits, func(e edit) bool { return "./"+filepath.Dir(e.file) == name })
	}
	first := slices.DeleteFunc(slices.Clone(tested), func(name string) bool { return !changed(name) })
	rest := slices.DeleteFunc(slices.Clone(tested), changed)
	for _, name := range slices.Concat(first, rest) {
		cmd := exec.Command("go", "test", "-count=1", "-failfast", "-skip", "Statements$|PlannedEachTime$", name)
		cmd.Dir = tree
		if out, err := cmd.CombinedOutput(); err != nil {
			return string(out), err
		}
	}
	return "", nil
}

func repository() (string, error) {
	out, err := exec.Command("go", "env", "GOWORK").Output()
	if err != nil || strings.TrimSpace(string(out)) == "" {
		return "", errors.New("run this command inside the repository")
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// copyTree copies the modules of the tested packages, and writes a workspace for them.
func copyTree(from, to string) error {
	for _, folder := range []string{"pkg", "services/auth", "services/gate", "services/pin-admin", "services/pin-internal"} {
		if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(from, folder))); err != nil {
			return fmt.Errorf("copying %s: %w", folder, err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(from, "go.work.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copying go.work.sum: %w", err)
	}
	work, err := os.ReadFile(filepath.Join(from, "go.work"))
	if err != nil {
		return fmt.Errorf("copying go.work: %w", err)
	}
	version, _, _ := strings.Cut(string(work), "\n")
	return errors.Join(
		os.WriteFile(filepath.Join(to, "go.work.sum"), sums, 0o600),
		os.WriteFile(filepath.Join(to, "go.work"), []byte(version+"\n\nuse (\n\t./pkg\n\t./services/auth\n\t./services/gate\n\t./services/pin-admin\n\t./services/pin-internal\n)\n"), 0o600))
}
