package main

import (
	"bytes"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// result is what a run of the command returned and printed.
type result struct {
	code        int
	out, errOut string
}

// runs runs the command with these arguments, as main does.
func runs(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(in), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// want reports an error unless the run ended with this code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; it printed %q and %q", r.code, code, r.out, r.errOut)
	}
	return r
}

// paths returns the arguments that select each command.
func paths(cmd *cobra.Command, path []string) [][]string {
	all := [][]string{path}
	for _, sub := range cmd.Commands() {
		all = append(all, paths(sub, append(slices.Clone(path), sub.Name()))...)
	}
	return all
}

// detectSideEffects sets every address to that of one listener, and every folder to one empty folder. The returned function
// reports the side effects of the commands: connections to the listener, and files in the folder.
func detectSideEffects(t *testing.T) (sideEffects func() (connections int, files []string)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var connections atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			conn.Close()
		}
	}()
	for _, name := range []string{"DATABASE_URL", "SUPERUSER_DATABASE_URL", "TEST_DATABASE_URL"} {
		t.Setenv(name, "postgres://u:p@"+l.Addr().String()+"/x?sslmode=disable")
	}
	for _, name := range []string{"REDIS_URL", "TEST_REDIS_URL"} {
		t.Setenv(name, "redis://"+l.Addr().String()+"/0")
	}
	for _, name := range []string{"PIN_INTERNAL_URL", "PIN_ADMIN_URL", "AUTH_URL"} {
		t.Setenv(name, "http://"+l.Addr().String())
	}
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"SECRETS_DIR", "HOME", "TMPDIR"} {
		t.Setenv(name, dir)
	}
	return func() (int, []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var files []string
		for _, e := range entries {
			files = append(files, e.Name())
		}
		return int(connections.Load()), files
	}
}

func TestHelpHasNoSideEffects(t *testing.T) {
	sideEffects := detectSideEffects(t)
	cases := [][]string{
		{"admin", "--email", "ada@example.com", "--reset-mfa", "--help"}, {"demo", "folder", "--help"}, {"secrets", "append", "PIN_KEYS", "--help"},
		{"kyc", "send", "--user", "ada@example.com", "--help"}, {"stores", "--help", "--", "touch", "file"}, {"help", "migrate"}, {"help", "kyc", "send"},
	}
	all := paths(newRoot(), nil)
	for _, path := range all {
		cases = append(cases, append(slices.Clone(path), "--help"), append(slices.Clone(path), "-h"))
	}
	for _, args := range cases {
		r := runs(t, "input", args...).want(t, exitDone)
		if !strings.Contains(r.out, "Usage:") || r.errOut != "" {
			t.Errorf("%q printed %q and %q", args, r.out, r.errOut)
		}
		if connections, files := sideEffects(); connections != 0 || len(files) != 0 {
			t.Fatalf("%q connected %d times and wrote %q", args, connections, files)
		}
	}
	for _, name := range []string{"admin", "approve", "ask", "completion", "demo", "doctor", "help", "keys", "keys new", "keys renew", "keys revoke-receipts", "keys revoke-signing", "keys rotate-receipts", "keys rotate-signing",
		"kyc", "kyc send", "migrate", "secrets", "secrets append", "secrets import", "secrets promote", "secrets retire", "stores", "up"} {
		if !slices.ContainsFunc(all, func(path []string) bool { return strings.Join(path, " ") == name }) {
			t.Errorf("%s is missing", name)
		}
	}
	// Without --help, a command connects. This shows that the listener records connections.
	runs(t, "", "keys").want(t, exitFailed)
	if connections, _ := sideEffects(); connections == 0 {
		t.Error("the listener records no connections")
	}
}

func TestUsageErrorsHaveNoSideEffects(t *testing.T) {
	sideEffects := detectSideEffects(t)
	cases := [][]string{
		nil, {"bogus"}, {"bogus", "--flag"}, {"--bogus"}, {"help", "bogus"}, {"kyc"}, {"kyc", "bogus"}, {"keys", "bogus"}, {"keys", "renew", "now"},
		{"admin"}, {"admin", "--email", "nonsense"}, {"admin", "--email", "ada@example.com", "more"},
		{"admin", "--email", "ada@example.com", "--reset-mfa", "--password-stdin"},
		{"demo"}, {"demo", "a", "b"}, {"secrets", "bogus"}, {"secrets", "append"}, {"secrets", "append", "KEYS"}, {"secrets", "append", "PIN_KEYS", "AUTH_KEYS"},
		{"secrets", "import", "file"}, {"kyc", "send", "--vendor", "bogus"}, {"kyc", "send", "--status", "bogus"}, {"kyc", "send", "--at", "today"},
		{"approve", "https://a.test/approve#cap_x", "more"}, {"approve", "https://a.test/approve"}, {"approve", "http://a.test/approve#cap_x"},
		{"stores"}, {"stores", "--"}, {"ask"}, {"ask", "http://a", "http://b"}, {"ask", "-H", "nonsense", "http://127.0.0.1:1"}, {"completion"},
		{"completion", "bogus"}, {"up", "now"}, {"migrate", "now"}, {"doctor", "now"},
	}
	for _, path := range paths(newRoot(), nil) {
		cases = append(cases, append(slices.Clone(path), "--bogus"))
	}
	for _, args := range cases {
		r := runs(t, "", args...).want(t, exitUsage)
		if r.out != "" || !strings.HasPrefix(r.errOut, "countersign") || !strings.Contains(r.errOut, "--help") {
			t.Errorf("%q printed %q and %q", args, r.out, r.errOut)
		}
		if connections, files := sideEffects(); connections != 0 || len(files) != 0 {
			t.Fatalf("%q connected %d times and wrote %q", args, connections, files)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := runs(t, "", "--version").want(t, exitDone).out; got != "countersign "+buildVersion()+"\n" {
		t.Errorf("got %q", got)
	}
	version = "v1.2.3"
	defer func() { version = "" }()
	if got := runs(t, "", "--version").want(t, exitDone).out; got != "countersign v1.2.3\n" {
		t.Errorf("a release is called %q", got)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := runs(t, "", "completion", shell).want(t, exitDone).out; !strings.Contains(got, "countersign") {
			t.Errorf("%s: %q", shell, got)
		}
	}
	sideEffects := detectSideEffects(t)
	if got := runs(t, "", "__complete", "secrets", "promote", "").out; !strings.Contains(got, "PIN_KEYS") {
		t.Errorf("the rings are not completed: %q", got)
	}
	if got := runs(t, "", "__complete", "ad").out; !strings.Contains(got, "admin") {
		t.Errorf("the commands are not completed: %q", got)
	}
	if connections, files := sideEffects(); connections != 0 || len(files) != 0 {
		t.Errorf("completion connected %d times and wrote %q", connections, files)
	}
}

// Each table belongs to one package, which has the rules for it. The command must call that package.
func TestTheCommandHasNoSQLOnTables(t *testing.T) {
	var tables []string
	db := storetest.Postgres(t).Open(t, "")
	if err := db.Select(&tables, `select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')`); err != nil {
		t.Fatal(err)
	}
	if len(tables) < 15 {
		t.Fatalf("the database has only the tables %q", tables)
	}
	for path, content := range sources(t) {
		words := strings.FieldsFunc(strings.ToLower(content), func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
		for i, word := range words[1:] {
			if slices.Contains([]string{"from", "into", "update", "join", "table"}, words[i]) && slices.Contains(tables, word) {
				t.Errorf("%s: %q", path, words[i]+" "+word)
			}
		}
	}
}
