package app

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// read returns the settings of a gate with these arguments and variables.
func read(t *testing.T, environment map[string]string, args ...string) *gateway {
	t.Helper()
	g := newGateway(Program{})
	f := flags{pflag.NewFlagSet("gate", pflag.ContinueOnError), func(name string) string { return environment[name] }}
	g.add(f)
	if err := f.set.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := f.fill(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSettingsHaveDefaults(t *testing.T) {
	t.Parallel()
	g := read(t, nil)
	if g.holding != (holding{wait: 50 * time.Second, bestStep: "elicitation", maxMessage: 16 << 20}) || g.exposure.listen != "127.0.0.1:8090" {
		t.Errorf("%+v, %+v", g.holding, g.exposure)
	}
}

func TestFlagWinsOverTheEnvironment(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"COUNTERSIGN_WAIT": "1m", "COUNTERSIGN_SKILL_PREFIX": "env.", "COUNTERSIGN_GATE_ALLOW_HOST": "a.example, b.example:8090", "COUNTERSIGN_MAX_MESSAGE": "64KiB"}
	g := read(t, environment)
	if g.holding.wait != time.Minute || g.connection.skillPrefix != "env." || !slices.Equal(g.exposure.allowHosts, []string{"a.example", "b.example:8090"}) || g.holding.maxMessage != 65536 {
		t.Errorf("from the environment: %+v", g)
	}
	g = read(t, environment, "--wait", "2m", "--skill-prefix=", "--allow-host", "c.example", "--allow-host", "d.example,e.example", "--max-message", "1024")
	if g.holding.wait != 2*time.Minute || g.connection.skillPrefix != "" || !slices.Equal(g.exposure.allowHosts, []string{"c.example", "d.example", "e.example"}) || g.holding.maxMessage != 1024 {
		t.Errorf("from flags: %+v", g)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	for _, rule := range []struct{ setting, flag, want string }{ // for each setting, a wrong variable, and the flag of the same name
		{"COUNTERSIGN_WAIT=canary", "--wait", "must be a duration from 0s to 10m"},
		{"COUNTERSIGN_WAIT=11m", "--wait", "must be a duration from 0s to 10m"},
		{"COUNTERSIGN_WAIT=-1s", "--wait", "must be a duration from 0s to 10m"},
		{"COUNTERSIGN_WAIT=20", "--wait", "must be a duration from 0s to 10m"},
		{"COUNTERSIGN_BEST_STEP=canary", "--best-step", "must be elicitation, progress or text"},
		{"COUNTERSIGN_MAX_MESSAGE=1023", "--max-message", "must be 1KiB to 64MiB"},
		{"COUNTERSIGN_MAX_MESSAGE=65MiB", "--max-message", "must be 1KiB to 64MiB"},
		{"COUNTERSIGN_MAX_MESSAGE=-1", "--max-message", "must be 1KiB to 64MiB"},
		{"COUNTERSIGN_MAX_MESSAGE=99999999999999999999", "--max-message", "must be 1KiB to 64MiB"},
		{"COUNTERSIGN_MAX_MESSAGE=2147483647KiB", "--max-message", "must be 1KiB to 64MiB"},
		{"COUNTERSIGN_URL=canary", "--countersign-url", "must be an http or https URL"},
		{"COUNTERSIGN_URL=http://canary:canary@host", "--countersign-url", "must be an http or https URL"},
		{"COUNTERSIGN_URL=http://host?canary=1", "--countersign-url", "must be a URL without a query"},
		{"COUNTERSIGN_INSTANCE=canary", "--instance", "must be an id"},
		{"COUNTERSIGN_CUSTOMER=../canary", "--customer", "must be an id"},
		{"COUNTERSIGN_SKILL_PREFIX=canary\n", "--skill-prefix", "must not contain control characters"},
		{"COUNTERSIGN_GATE_LISTEN=canary", "--listen", "must be an address"},
		{"COUNTERSIGN_GATE_LISTEN=canary:99999", "--listen", "must be an address"},
		{"COUNTERSIGN_GATE_METRICS_LISTEN=9090", "--metrics-listen", "must be an address"},
		{"COUNTERSIGN_GATE_UPSTREAM=file:///canary", "--upstream", "must be an http or https URL"},
		{"COUNTERSIGN_GATE_ALLOW_HOST=a,,canary", "--allow-host", "must be a list"},
		{"COUNTERSIGN_GATE_ALLOW_HOST=http://canary", "--allow-host", "such as gate.example.com"},
		{"COUNTERSIGN_GATE_ALLOW_HOST=*", "--allow-host", "such as gate.example.com"},
		{"COUNTERSIGN_GATE_ALLOW_ORIGIN=canary.example", "--allow-origin", "such as https://app.example.com"},
		{"COUNTERSIGN_GATE_ALLOW_ORIGIN=https://canary.example/path", "--allow-origin", "such as https://app.example.com"},
		{"COUNTERSIGN_GATE_ALLOW_ORIGIN=*", "--allow-origin", "such as https://app.example.com"},
	} {
		name, value, _ := strings.Cut(rule.setting, "=")
		environment := environmentOf(d)
		environment[name] = value
		for _, way := range []struct {
			environment map[string]string
			args        []string
			named       string
		}{{environment, gateTo(), name}, {environmentOf(d), gateTo(rule.flag, value), rule.flag}} {
			code, out, log := runs(t, way.environment, way.args...)
			if code != exitUsage || out != "" || !strings.Contains(log, way.named+" ") || !strings.Contains(log, rule.want) || strings.Contains(log, "canary") {
				t.Errorf("%s, %s: exit code %d, %q, %q", rule.setting, way.named, code, out, log)
			}
		}
	}
}

func TestMissingAndContradictingSettings(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	file := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(file, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := []string{"--token-issuer", "https://issuer.example", "--token-audience", "a", "--token-channel", "c"}
	for _, rule := range []struct {
		change string // of the environment
		args   []string
		want   string
	}{
		{"COUNTERSIGN_URL=", gateTo(), "--countersign-url or COUNTERSIGN_URL must be set"},
		{"COUNTERSIGN_INSTANCE=", gateTo(), "--instance or COUNTERSIGN_INSTANCE must be set"},
		{"COUNTERSIGN_CUSTOMER=", gateTo(), "--customer or COUNTERSIGN_CUSTOMER must be set"},
		{"COUNTERSIGN_CUSTOMER=", gateTo("--dry-run"), "--customer or COUNTERSIGN_CUSTOMER must be set"},
		{"COUNTERSIGN_PROXY_KEY=", gateTo(), "set COUNTERSIGN_PROXY_KEY or COUNTERSIGN_PROXY_KEY_FILE"},
		{"COUNTERSIGN_PROXY_KEY_FILE=" + file, gateTo(), "COUNTERSIGN_PROXY_KEY and COUNTERSIGN_PROXY_KEY_FILE are both set"},
		{"", nil, "the server is missing"},
		{"", []string{os.Args[0]}, "write -- before the command of the server"},
		{"", []string{"canary", "--", os.Args[0]}, "write -- before the command"},
		{"", gateTo("--upstream", "http://127.0.0.1:1"), "there are two servers"},
		{"COUNTERSIGN_GATE_UPSTREAM=http://127.0.0.1:1", gateTo(), "there are two servers"},
		{"", gateTo(tokens...), "--token-issuer needs --upstream"},
		{"", append(tokens, "--upstream", "http://127.0.0.1:1"), "--customer and --token-issuer must not both be set"},
		{"COUNTERSIGN_CUSTOMER=", append(tokens[:4:4], "--upstream", "http://127.0.0.1:1"), "--token-channel or"},
		{"COUNTERSIGN_CUSTOMER=", append(tokens[:2:2], "--upstream", "http://127.0.0.1:1"), "--token-audience or"},
		{"COUNTERSIGN_CUSTOMER=", []string{"--token-audience", "a", "--upstream", "http://127.0.0.1:1"}, "--token-issuer or"},
		{"", gateTo("--no-such-flag"), "unknown flag: --no-such-flag"},
		{"", []string{"skills"}, "the server is missing"},
		{"", gateTo("skills", "canary"), "write -- before the command"},
		{"", gateTo("skills", "--overwrite"), "--overwrite needs --apply"},
		{"", gateTo("skills", "--apply"), "--admin-url or COUNTERSIGN_ADMIN_URL must be set"},
		{"COUNTERSIGN_ADMIN_KEY=", gateTo("skills", "--apply", "--admin-url", d.URL), "set COUNTERSIGN_ADMIN_KEY or COUNTERSIGN_ADMIN_KEY_FILE"},
		{"COUNTERSIGN_INSTANCE=", gateTo("skills", "--apply", "--admin-url", d.URL), "--instance or"},
		{"", gateTo("skills", "--apply", "--json", "--admin-url", d.URL), "--json and --apply"},
		{"", []string{"health"}, "--metrics-listen or COUNTERSIGN_GATE_METRICS_LISTEN must be set"},
		{"", []string{"health", "canary"}, "unexpected argument"},
	} {
		environment := environmentOf(d)
		if name, value, found := strings.Cut(rule.change, "="); found {
			environment[name] = value
		}
		code, out, log := runs(t, environment, rule.args...)
		if code != exitUsage || out != "" || !strings.Contains(log, rule.want) || !strings.Contains(log, "--help") {
			t.Errorf("%q %q: exit code %d, %q, %q, want %q", rule.change, rule.args, code, out, log, rule.want)
		}
	}
}

func TestSecretsInFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for content, want := range map[string]string{" key_canary\n": "key_canary", "": "", "\n": ""} {
		file := filepath.Join(folder, "key_canary")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := newEnvironment([]string{"KEY_FILE=" + file}).secret("KEY")
		if got.Reveal() != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %q, %v", content, got.Reveal(), err)
		}
	}
	if _, err := newEnvironment([]string{"KEY_FILE=" + folder + "/no_canary"}).secret("KEY"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("no file: %v", err)
	}
	for content, want := range map[string]string{"two_canary\nlines": "must be one line", "\ufeffbom_canary": "must be one line", strings.Repeat("canary", 20_000): "larger than 65536 bytes"} {
		file := filepath.Join(folder, "key_canary")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := newEnvironment([]string{"KEY_FILE=" + file}).secret("KEY")
		if err == nil || !strings.Contains(err.Error(), "KEY_FILE") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.20q: %v", content, err)
		}
	}
	d := clienttest.New(t)
	environment := environmentOf(d)
	delete(environment, "COUNTERSIGN_PROXY_KEY")
	environment["COUNTERSIGN_PROXY_KEY_FILE"] = filepath.Join(folder, "proxy")
	if err := os.WriteFile(environment["COUNTERSIGN_PROXY_KEY_FILE"], []byte(clienttest.ProxyKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, log := runs(t, environment, gateTo("--dry-run")...); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
}

func TestHelpAndVersionNeedNoSettings(t *testing.T) {
	t.Parallel()
	if code, out, log := runs(t, nil, "--version"); code != 0 || out != "countersign-gate v9\n" || log != "" {
		t.Errorf("%d, %q, %q", code, out, log)
	}
	for _, args := range [][]string{{"--help"}, {"skills", "--help"}, {"hook", "--help"}, {"health", "--help"}} {
		code, out, log := runs(t, nil, args...)
		if code != 0 || log != "" || !strings.Contains(out, "Usage:\n  countersign-gate") {
			t.Errorf("%q: %d, %q, %q", args, code, out, log)
		}
	}
}

// secrets are the settings that are no flags.
var secrets = []string{"COUNTERSIGN_PROXY_KEY", "COUNTERSIGN_ADMIN_KEY", "COUNTERSIGN_GATE_UPSTREAM_TOKEN"}

// names returns the variables of all commands.
func names(cmd *cobra.Command, found map[string]bool) map[string]bool {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		for _, name := range flag.Annotations[variable] {
			found[name] = true
		}
	})
	for _, sub := range cmd.Commands() {
		names(sub, found)
	}
	return found
}

func TestSettingsAreDocumented(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(content), "\n## countersign-gate")
	if !found {
		t.Fatal("the section countersign-gate is missing")
	}
	documented := map[string]bool{}
	for line := range strings.Lines(section) {
		if name, _, setting := strings.Cut(strings.TrimPrefix(line, "#"), "="); setting && !strings.Contains(name, " ") {
			documented[name] = true
		}
	}
	all := names(Program{}.newRoot(), map[string]bool{})
	for _, name := range secrets {
		all[name] = true
	}
	if want, got := slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(documented)); !slices.Equal(want, got) {
		t.Errorf(".env.example has\n%q, want\n%q", got, want)
	}
	for name := range all {
		if !strings.HasPrefix(name, "COUNTERSIGN_") {
			t.Errorf("%s would be in the environment of the server", name)
		}
	}
}
