package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/state"
)

// agent calls hooks, each as a new process would be: only the folder of the state is the same.
type agent struct {
	t *testing.T
	d *clienttest.Countersign
	// folder is the state's.
	folder string
	change func(*Settings)
}

func newAgent(t *testing.T) *agent {
	return &agent{t: t, d: clienttest.New(t), folder: filepath.Join(t.TempDir(), "state")}
}

// settings returns the settings of a new process.
func (a *agent) settings() Settings {
	key := client.NewSecret(clienttest.ProxyKey)
	c, err := client.New(client.Config{URL: a.d.URL, Instance: clienttest.Instance, ProxyKey: key})
	if err != nil {
		a.t.Fatal(err)
	}
	sealer, err := hold.NewSealer(key)
	if err != nil {
		a.t.Fatal(err)
	}
	kept, err := state.Open(a.folder, sealer)
	if err != nil {
		a.t.Fatal(err)
	}
	s := Settings{Client: c, State: kept, Person: client.Person{Customer: clienttest.Customer}, SkillPrefix: "agent.", Wait: time.Minute, MaxInput: 1 << 20}
	if a.change != nil {
		a.change(&s)
	}
	return s
}

// asks returns the answer of a hook, as the agent reads it: "none" without a decision, otherwise "allow: …" or "deny: …".
func (a *agent) asks(input string) string {
	a.t.Helper()
	return a.reads(Run(a.t.Context(), a.settings(), strings.NewReader(input)))
}

func (a *agent) reads(answer Answer) string {
	a.t.Helper()
	var line bytes.Buffer
	if err := answer.Write(&line); err != nil {
		a.t.Fatal(err)
	}
	var content struct {
		Output *struct {
			Event    string `json:"hookEventName"`
			Decision string `json:"permissionDecision"`
			Reason   string `json:"permissionDecisionReason"`
		} `json:"hookSpecificOutput"`
	}
	if err := json.Unmarshal(line.Bytes(), &content); err != nil || strings.Count(line.String(), "\n") != 1 {
		a.t.Fatalf("%q: %v", line.String(), err)
	}
	if content.Output == nil {
		return "none"
	}
	if content.Output.Event != "PreToolUse" {
		a.t.Errorf("the event is %q", content.Output.Event)
	}
	return content.Output.Decision + ": " + content.Output.Reason
}

const deploy = `{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"make deploy"}}`

func wants(t *testing.T, got string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestUnprotectedCallGetsNoDecision(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	wants(t, a.asks(deploy), "none")
	a.change = func(s *Settings) { s.AllowUnprotected = true }
	wants(t, a.asks(deploy), "allow: ")
	if n := len(a.d.Approvals()); n != 0 {
		t.Errorf("%d approvals", n)
	}
}

func TestNextHookFindsTheApproval(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("approval", "agent.Bash")
	first := a.asks(deploy)
	wants(t, first, "deny: NOT EXECUTED", clienttest.Link+a.d.Approvals()[0].ID, "call Bash again")
	a.d.Decide("approved")
	wants(t, a.asks(deploy), "allow: ")
	asked := a.d.Approvals()
	if len(asked) != 1 || asked[0].Status != "used" || asked[0].Skill != "agent.Bash" || asked[0].Arguments != `{"command":"make deploy"}` {
		t.Errorf("%+v", asked)
	}
	wants(t, a.asks(deploy), "deny: NOT EXECUTED", clienttest.Link+a.d.Approvals()[1].ID)
}

func TestApprovalOpensNoOtherCall(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("approval")
	a.asks(deploy)
	a.d.Decide("approved")
	wants(t, a.asks(strings.Replace(deploy, "make deploy", "rm -rf /", 1)), "deny: ")
	wants(t, a.asks(strings.Replace(deploy, "Bash", "Write", 1)), "deny: ")
	wants(t, a.asks(deploy), "allow: ")
}

func TestSecondHookWaitsForThePerson(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("approval")
	a.asks(deploy)
	a.d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("wait") > "0" {
			go a.d.Decide("approved") // the person answers while the hook waits
		}
		return false
	})
	wants(t, a.asks(deploy), "allow: ")
}

func TestExpiredWaitIsDeniedWithTheLink(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("approval")
	a.change = func(s *Settings) { s.Wait = 0 }
	a.asks(deploy)
	wants(t, a.asks(deploy), "deny: NOT EXECUTED", clienttest.Link+a.d.Approvals()[0].ID)
	if n := len(a.d.Approvals()); n != 1 {
		t.Errorf("%d approvals", n)
	}
	a.d.Decide("approved")
	wants(t, a.asks(deploy), "allow: ")
}

func TestDenialOfThePerson(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("approval")
	a.asks(deploy)
	a.d.Decide("denied")
	wants(t, a.asks(deploy), "deny: NOT EXECUTED", "The person denied this call")
}

func TestSessionOpensTheCallsOfLaterHooks(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("session")
	wants(t, a.asks(deploy), "deny: NOT EXECUTED")
	a.d.Decide("approved")
	wants(t, a.asks(deploy), "allow: ")
	wants(t, a.asks(strings.Replace(deploy, "deploy", "test", 1)), "allow: ") // another hook, with the session of the state
	asked := a.d.Approvals()
	if len(asked) != 1 || asked[0].Arguments != "{}" {
		t.Errorf("%+v", asked)
	}
}

func TestTwoHooksInParallelRunOneCall(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("approval")
	a.asks(deploy)
	a.d.Decide("approved")
	answers := make([]string, 4)
	var hooks sync.WaitGroup
	for i := range answers {
		s := a.settings()
		s.Wait = 0
		hooks.Go(func() { answers[i] = a.reads(Run(t.Context(), s, strings.NewReader(deploy))) })
	}
	hooks.Wait()
	if all := strings.Join(answers, "\n"); strings.Count(all, "allow: ") != 1 || strings.Count(all, "deny: NOT EXECUTED") != len(answers)-1 {
		t.Errorf("one approval allowed: %s", all)
	}
}

func TestHookWithoutCountersignDenies(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"wrong answer": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, `{"required":null}`)
			return true
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		},
		"an unknown customer": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusNotFound); return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAgent(t)
			a.change = func(s *Settings) { s.AllowUnprotected = true }
			a.d.Intercept(broken)
			wants(t, a.asks(deploy), "deny: NOT EXECUTED")
		})
	}
}

func TestHookThatGetsNoAnswerInTimeDenies(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	ctx, end := context.WithCancel(t.Context())
	asked := make(chan struct{})
	a.d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		close(asked)
		<-r.Context().Done()
		return true
	})
	go func() {
		<-asked
		end() // as the deadline does
	}()
	wants(t, a.reads(Run(ctx, a.settings(), strings.NewReader(deploy))), "deny: NOT EXECUTED")
}

func TestInputWithoutAnEndIsDenied(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	in, out := io.Pipe()
	defer out.Close()
	ctx, end := context.WithCancel(t.Context())
	go func() {
		_, _ = io.WriteString(out, deploy[:20])
		end()
	}()
	wants(t, a.reads(Run(ctx, a.settings(), in)), "deny: NOT EXECUTED")
}

func TestInputThatIsNotUnderstoodIsDenied(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"empty":                       ``,
		"broken JSON":                 `{"tool_name":"Bash","tool_input":{}`,
		"text after the object":       deploy + `{}`,
		"an array":                    `[` + deploy + `]`,
		"a text":                      `"canary"`,
		"null":                        `null`,
		"no tool":                     `{"tool_input":{}}`,
		"an empty tool":               `{"tool_name":"","tool_input":{}}`,
		"a tool that is no text":      `{"tool_name":["Bash"],"tool_input":{}}`,
		"a lone surrogate":            `{"tool_name":"\ud800","tool_input":{}}`,
		"no arguments":                `{"tool_name":"Bash"}`,
		"null as arguments":           `{"tool_name":"Bash","tool_input":null}`,
		"a list as arguments":         `{"tool_name":"Bash","tool_input":["canary"]}`,
		"a text as arguments":         `{"tool_name":"Bash","tool_input":"canary"}`,
		"two tools":                   `{"tool_name":"Read","tool_name":"Bash","tool_input":{}}`,
		"two tools after folding":     `{"tool_name":"Read","Tool_Name":"Bash","tool_input":{}}`,
		"another spelling":            `{"TOOL_NAME":"Bash","tool_input":{}}`,
		"an escaped second tool":      `{"tool_name":"Read","tool_n\u0061me":"Bash","tool_input":{}}`,
		"two arguments":               `{"tool_name":"Bash","tool_input":{},"tool_input":{"command":"canary"}}`,
		"another event":               `{"hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{}}`,
		"an event that is no text":    `{"hook_event_name":{},"tool_name":"Bash","tool_input":{}}`,
		"invalid UTF-8":               "{\"tool_name\":\"Bash\xff\",\"tool_input\":{}}",
		"a byte order mark":           "\uFEFF" + deploy,
		"an input that is too large":  `{"tool_name":"Bash","tool_input":{"command":"` + strings.Repeat("x", 1<<20) + `"}}`,
		"an input that is deep":       `{"tool_name":"Bash","tool_input":{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}}`,
		"a member that is not closed": `{"tool_name":"Bash","tool_input":{},`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAgent(t)
			a.change = func(s *Settings) { s.AllowUnprotected = true }
			got := a.asks(input)
			wants(t, got, "deny: NOT EXECUTED. The hook of Countersign does not allow this call: ")
			if strings.Contains(got, "canary") || len(a.d.Requests()) != 0 {
				t.Errorf("%q, after the requests %q", got, a.d.Requests())
			}
		})
	}
}

func TestReasonsForInputThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	wants(t, a.asks(deploy+strings.Repeat(" ", 1<<20)), "the input is larger than 1048576 bytes")
	wants(t, a.asks("{\"tool_name\":\"Bash\",\"tool_input\":{\"command\":\"\xff\"}}"), "the input is not UTF-8")
	wants(t, a.asks(`{"tool_name":"Bash"`), "the input is not valid JSON")
}

// These arguments can have two meanings or be too long for a person, but the policy decides first.
func TestArgumentsThatCannotBeApproved(t *testing.T) {
	t.Parallel()
	for _, arguments := range []string{`{"a":1,"a":2}`, `{"a":9007199254740993}`, `{"a":"` + strings.Repeat("x", 20000) + `"}`} {
		a := newAgent(t)
		question := `{"tool_name":"Bash","tool_input":` + arguments + `}`
		wants(t, a.asks(question), "none")
		a.d.Mode("approval")
		wants(t, a.asks(question), "deny: NOT EXECUTED", "cannot be approved")
	}
}

func TestStateFilesAreSealed(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("session", "agent.Bash")
	a.d.Mode("approval", "agent.Write")
	a.asks(deploy)
	a.d.Decide("approved")
	a.asks(deploy)
	a.asks(strings.Replace(deploy, "Bash", "Write", 1))
	if folder, err := os.Stat(a.folder); err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("the mode of the folder is %v, %v", folder.Mode(), err)
	}
	files := a.files()
	if len(files) != 2 { // the session and the open approval
		t.Errorf("%d files", len(files))
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the mode of a file is %v, %v", info.Mode(), err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range a.d.Approvals() {
			for _, secret := range []string{"canary", asked.ID, clienttest.Customer} {
				if strings.Contains(string(content)+file, secret) {
					t.Errorf("a file has %q", secret)
				}
			}
		}
	}
}

func (a *agent) files() []string {
	a.t.Helper()
	var files []string
	err := filepath.WalkDir(a.folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return files
}

// A state that is lost opens nothing: the person is asked again.
func TestStateThatIsNotValidIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, file string) error{
		"corrupt":    func(_ *testing.T, file string) error { return os.WriteFile(file, []byte("canary"), 0o600) },
		"empty":      func(_ *testing.T, file string) error { return os.WriteFile(file, nil, 0o600) },
		"removed":    func(_ *testing.T, file string) error { return os.Remove(file) },
		"unreadable": func(_ *testing.T, file string) error { return os.Chmod(file, 0) },
		"a folder": func(_ *testing.T, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.MkdirAll(filepath.Join(file, "x"), 0o700)
		},
		"of another key": func(t *testing.T, file string) error {
			sealer, err := hold.NewSealer(client.NewSecret("another proxy key"))
			if err != nil {
				return err
			}
			text, err := sealer.Seal("hook "+filepath.Base(file), []byte("canary"), time.Now().Add(time.Hour))
			if err != nil {
				return err
			}
			return os.WriteFile(file, []byte(text), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "unreadable" && os.Getuid() == 0 {
				t.Skip("root reads every file")
			}
			a := newAgent(t)
			a.d.Mode("approval")
			a.asks(deploy)
			a.d.Decide("approved")
			for _, file := range a.files() {
				if err := spoil(t, file); err != nil {
					t.Fatal(err)
				}
			}
			wants(t, a.asks(deploy), "deny: NOT EXECUTED", clienttest.Link)
			if n := len(a.d.Approvals()); n != 2 {
				t.Errorf("%d approvals", n)
			}
		})
	}
}

func TestStateThatCannotBeWrittenIsReported(t *testing.T) {
	t.Parallel()
	a := newAgent(t)
	a.d.Mode("approval")
	s := a.settings()
	if err := os.RemoveAll(a.folder); err != nil {
		t.Fatal(err)
	}
	wants(t, a.reads(Run(t.Context(), s, strings.NewReader(deploy))), "deny: NOT EXECUTED")
	if s.State.(*state.Folder).Problem() == nil {
		t.Error("nothing says that the next hook does not find the approval")
	}
}
