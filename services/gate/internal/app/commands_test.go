package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

func TestDryRunShowsThePolicyOfEachTool(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	d.Mode("approval", "files.write")
	d.Mode("session", "files.touch")
	d.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Query().Get("skill"), "files.evil") {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"detail":"Unknown name"}`)
			return true
		}
		return false
	})
	code, out, log := runs(t, environmentOf(d), gateTo("--dry-run", "--skill-prefix", "files.")...)
	if code != 0 || log != "" {
		t.Fatalf("exit code %d, %q", code, log)
	}
	for tool, want := range map[string]string{"read": "open skill_not_protected", "write": "approval approval_needed", "touch": "session pin_needed", "evil⟨U+001B⟩[2J*": "refused NOT EXECUTED. Countersign refused this call: Unknown name"} {
		found := false
		for line := range strings.Lines(out) {
			found = found || strings.HasPrefix(strings.Join(strings.Fields(line), " "), tool+" "+want)
		}
		if !found {
			t.Errorf("no line %q in:\n%s", tool+" "+want, out)
		}
	}
	for _, request := range d.Requests() {
		if request != "POST /pin/check-required" {
			t.Errorf("the request %s asks a person", request)
		}
	}
}

func TestDryRunWithoutCountersignFails(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	environment := environmentOf(d)
	environment["COUNTERSIGN_PROXY_KEY"] = "another_canary"
	code, out, log := runs(t, environment, gateTo("--dry-run")...)
	if code != 1 || strings.Contains(out, "open") || !strings.Contains(log, "unauthorized") || !strings.Contains(log, "check COUNTERSIGN_PROXY_KEY") || strings.Contains(log, "canary") || len(d.Requests()) != 1 {
		t.Errorf("exit code %d, %q, %q, %q", code, out, log, d.Requests())
	}
}

func TestSkillsPrintsProposals(t *testing.T) {
	t.Parallel()
	environment := map[string]string{playServer: "1"} // no setting is needed
	code, out, log := runs(t, environment, gateTo("skills")...)
	if code != 0 || log != "" || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d, %q, %q", code, out, log)
	}
	contains(t, strings.Join(strings.Fields(out), " "), "read yes - open read: path {path}", "write no - approval write: path {path}, content {content}",
		"touch - no session -", "evil⟨U+001B⟩[2J* - - approval cannot be registered", "proves nothing")
	code, out, log = runs(t, environment, gateTo("skills", "--json", "--skill-prefix", "files.")...)
	var proposals []struct {
		Tool, Skill, Problem string
		Annotations          struct{ ReadOnlyHint, DestructiveHint *bool }
		Body                 struct {
			Mode           string
			Title, Summary *string
		}
	}
	if err := json.Unmarshal([]byte(out), &proposals); err != nil || code != 0 || len(proposals) != 4 {
		t.Fatalf("exit code %d, %q, %q, %v", code, out, log, err)
	}
	first := proposals[0]
	if first.Tool != "read" || first.Skill != "files.read" || !*first.Annotations.ReadOnlyHint || first.Annotations.DestructiveHint != nil || first.Body.Mode != "open" ||
		*first.Body.Title != "Read a file" || *first.Body.Summary != "read: path {path}" || first.Problem != "" || proposals[3].Problem == "" {
		t.Errorf("%s", out)
	}
}

// pinAdmin keeps the skills that were stored, by name.
type pinAdmin struct {
	mu     sync.Mutex
	skills map[string]string
}

func (a *pinAdmin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name, found := strings.CutPrefix(r.URL.Path, "/v1/instances/"+clienttest.Instance+"/skills/")
	switch {
	case !found, r.Method == http.MethodGet && a.skills[name] == "":
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("X-Api-Key") != "csk_canary_admin_key":
		w.WriteHeader(http.StatusUnauthorized)
	case name == "touch":
		w.WriteHeader(http.StatusUnprocessableEntity)
	case r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		a.skills[name] = string(body)
	}
}

func TestSkillsApply(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	a := &pinAdmin{skills: map[string]string{"write": "mine"}}
	admin := httptest.NewServer(a)
	defer admin.Close()
	code, out, log := runs(t, environmentOf(d), gateTo("skills", "--apply", "--admin-url", admin.URL)...)
	if code != 1 || !strings.Contains(log, "2 of 4 skills could not be registered") || strings.Contains(out+log, "canary") {
		t.Errorf("exit code %d, %q", code, log)
	}
	contains(t, out, "read: registered as open\n", "write: is registered already, and stays as it is\n", "touch: NOT registered: ", "evil⟨U+001B⟩[2J*: NOT registered: the name contains *")
	if len(a.skills) != 2 || a.skills["write"] != "mine" || a.skills["read"] != `{"mode":"open","title":"Read a file","summary":"read: path {path}"}` {
		t.Errorf("%+v", a.skills)
	}
	_, out, _ = runs(t, environmentOf(d), gateTo("skills", "--apply", "--overwrite", "--admin-url", admin.URL)...)
	if contains(t, out, "write: registered as approval\n"); a.skills["write"] == "mine" {
		t.Error("the skill was not replaced")
	}
	environment := environmentOf(d)
	environment["COUNTERSIGN_ADMIN_KEY"] = "wrong_canary"
	delete(a.skills, "read")
	code, out, log = runs(t, environment, gateTo("skills", "--apply", "--admin-url", admin.URL)...)
	if code != 1 || out != "" || !strings.Contains(log, "check COUNTERSIGN_ADMIN_KEY") || strings.Contains(log, "canary") {
		t.Errorf("a wrong key: exit code %d, %q, %q", code, out, log)
	}
	code, out, log = runs(t, environmentOf(d), gateTo("skills", "--apply", "--admin-url", "http://127.0.0.1:1")...)
	if code != 1 || out != "" || !strings.Contains(log, "check --admin-url") {
		t.Errorf("pin-admin cannot be reached: exit code %d, %q, %q", code, out, log)
	}
}

// The server gets no key, also when its tools are only listed.
func TestListedServerGetsNoSettingsOfTheGate(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	code, _, log := runs(t, environmentOf(d), "skills", "--", "sh", "-c", "env >&2; exit 1")
	if code != 1 || !strings.Contains(log, "KEPT=kept") || strings.Contains(log, "COUNTERSIGN_") || strings.Contains(log, "canary") {
		t.Errorf("exit code %d: %s", code, log)
	}
}

const question = `{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"canary_command"}}`

func TestHookCommand(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	d.Mode("approval", "agent.Bash")
	environment := environmentOf(d)
	environment["XDG_STATE_HOME"] = t.TempDir()
	environment["COUNTERSIGN_SKILL_PREFIX"] = "agent."
	ask := func(input string, args ...string) string {
		t.Helper()
		p := newProgram(environment, append([]string{"hook"}, args...)...)
		p.In = strings.NewReader(input)
		if code := p.Run(t.Context()); code != 0 || p.log.String() != "" {
			t.Errorf("exit code %d, %q", code, p.log)
		}
		return p.out.String()
	}
	contains(t, ask(question), `"permissionDecision":"deny"`, clienttest.Link)
	d.Decide("approved")
	contains(t, ask(question), `"permissionDecision":"allow"`)
	contains(t, ask("canary"), `"permissionDecision":"deny"`)
	if out := ask(strings.Replace(question, "Bash", "Read", 1)); out != "{}\n" {
		t.Errorf("an unprotected call: %q", out)
	}
	contains(t, ask(strings.Replace(question, "Bash", "Read", 1), "--unprotected", "allow"), `"permissionDecision":"allow"`)
	if files, err := filepath.Glob(filepath.Join(environment["XDG_STATE_HOME"], "countersign-gate", "*")); err != nil || len(files) > 1 {
		t.Errorf("%q, %v", files, err)
	}
}

// An agent must not go on because the hook has wrong settings. It reads the answer, or the exit code 2.
func TestHookWithWrongSettingsDenies(t *testing.T) {
	t.Parallel()
	d := clienttest.New(t)
	for _, rule := range []struct {
		change string
		args   []string
		want   string
	}{
		{"COUNTERSIGN_URL=", nil, "COUNTERSIGN_URL must be set"},
		{"COUNTERSIGN_CUSTOMER=", nil, "COUNTERSIGN_CUSTOMER must be set"},
		{"COUNTERSIGN_PROXY_KEY=", nil, "COUNTERSIGN_PROXY_KEY"},
		{"COUNTERSIGN_WAIT=canary", nil, "COUNTERSIGN_WAIT must be"},
		{"COUNTERSIGN_PROXY_KEY=two\nlines", nil, "COUNTERSIGN_PROXY_KEY must be one line"},
		{"HOME=", nil, "COUNTERSIGN_GATE_STATE must be set"},
		{"COUNTERSIGN_GATE_STATE=/dev/null/canary", nil, "making the folder of the state"},
		{"", []string{"--no-such-flag"}, "unknown flag"},
		{"", []string{"--unprotected", "canary"}, "must be ask or allow"},
		{"", []string{"argument"}, "unexpected argument"},
	} {
		environment := environmentOf(d)
		environment["HOME"] = t.TempDir()
		if name, value, found := strings.Cut(rule.change, "="); found {
			environment[name] = value
		}
		p := newProgram(environment, append([]string{"hook"}, rule.args...)...)
		p.In = strings.NewReader(question)
		code := p.Run(t.Context())
		var answer struct {
			Output struct{ PermissionDecision, PermissionDecisionReason string } `json:"hookSpecificOutput"`
		}
		err := json.Unmarshal([]byte(p.out.String()), &answer)
		if code != exitUsage || err != nil || answer.Output.PermissionDecision != "deny" || !strings.Contains(answer.Output.PermissionDecisionReason, rule.want) || !strings.Contains(p.log.String(), rule.want) {
			t.Errorf("%q %q: exit code %d, %s, %s, %v", rule.change, rule.args, code, p.out, p.log, err)
		}
	}
}

// Claude Code lets the call run after every code except 0 and 2.
func TestHookThatCannotAnswerEndsWithCode2(t *testing.T) {
	t.Parallel()
	environment := environmentOf(clienttest.New(t))
	environment["HOME"] = t.TempDir()
	p := newProgram(environment, "hook")
	p.In, p.Program.Out = strings.NewReader(question), fullDisk{}
	if code := p.Run(t.Context()); code != exitUsage || !strings.Contains(p.log.String(), "writing the answer") {
		t.Errorf("exit code %d, %s", code, p.log)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
