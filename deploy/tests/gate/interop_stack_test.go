//go:build interop

package gate

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/receipt"
	"github.com/countersign/countersign/pkg/testkit/demostack"
)

const personPIN = "4378"

// approvalLink matches the link of an approval of the demo.
var approvalLink = regexp.MustCompile(`http://\S+/approve#cap_\w+`)

// TestInteropStackProtectsFilesystem protects the official filesystem server with the services of Countersign: a file is written only after
// the person gave the PIN, and the server gets a receipt for exactly this call.
func TestInteropStackProtectsFilesystem(t *testing.T) {
	t.Parallel()
	npm := npmPackages(t)
	stack := startStack(t)
	files := t.TempDir()
	server := []string{npm.node, filepath.Join(npm.folder, "node_modules", "@modelcontextprotocol", "server-filesystem", "dist", "index.js"), files}
	environment := map[string]string{
		"COUNTERSIGN_URL": stack.PinInternalURL, "COUNTERSIGN_INSTANCE": stack.InstanceID, "COUNTERSIGN_PROXY_KEY": stack.ProxyKey,
		"COUNTERSIGN_CUSTOMER": stack.CustomerID, "COUNTERSIGN_SKILL_PREFIX": "files.", "COUNTERSIGN_AUDIENCE": "files", "COUNTERSIGN_GATE_STATE": t.TempDir(),
	}
	apply := exec.CommandContext(t.Context(), gateBinary(t), append([]string{"skills", "--apply", "--"}, server...)...)
	apply.Env = append(os.Environ(), "COUNTERSIGN_ADMIN_URL="+stack.PinAdminURL, "COUNTERSIGN_ADMIN_KEY="+stack.APIKey)
	for name, value := range environment {
		apply.Env = append(apply.Env, name+"="+value)
	}
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("registering the tools as skills: %v\n%s", err, out)
	}

	// tee shows what the server gets.
	received := filepath.Join(t.TempDir(), "received")
	c := start(t, npm, "v1.mjs", map[string]any{
		"command": gateBinary(t), "args": append([]string{"--", "sh", "-c", `tee "$0" | "$@"`, received}, server...), "env": environment,
	})
	c.next(t, connected)
	directory, _ := json.Marshal(map[string]string{"path": files})
	c.callWith(t, "list_directory", string(directory))
	c.text(t, false)

	file := filepath.Join(files, "hello.txt")
	arguments, _ := json.Marshal(map[string]string{"path": file, "content": "Hello"})
	write := func(isError bool) string {
		c.callWith(t, "write_file", string(arguments))
		return c.text(t, isError)
	}
	stack.answer(t, write(true))
	if _, err := os.Stat(file); err == nil {
		t.Fatal("the file was written before the approval")
	}
	write(false)
	if content, err := os.ReadFile(file); err != nil || string(content) != "Hello" {
		t.Fatalf("after the approval, the file has %q (%v)", content, err)
	}
	stack.answer(t, write(true), "--deny")
	if text := write(true); !strings.Contains(text, "denied") {
		t.Errorf("denied call: %q", text)
	}

	verifier, err := receipt.NewVerifier(stack.PinAdminURL, "files", nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := writes(t, received)
	if len(ran) != 1 {
		t.Fatalf("the server got %d calls, want 1", len(ran))
	}
	_, err = verifier.Verify(t.Context(), ran[0].Params.Meta.Receipt, action.Action{
		Instance: stack.InstanceID, Customer: stack.CustomerID, Skill: "files.write_file", Arguments: string(ran[0].Params.Arguments),
	})
	if err != nil {
		t.Errorf("the server's receipt: %v", err)
	}
}

// demo is a running stack, and the operator's program.
type demo struct {
	*demostack.Stack
	program string
}

// startStack starts what `make run` starts, and sets the PIN of the demo's customer.
func startStack(t *testing.T) demo {
	t.Helper()
	place, err := os.MkdirTemp("", "countersign-gate-stack-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	// Postgres runs as another user when the test runs as root.
	if err := os.Chmod(place, 0o711); err != nil {
		t.Fatal(err)
	}
	stack, err := demostack.Start(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := stack.PinAdminURL + "/v1/customers/" + stack.CustomerID + "/pin"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"pin":"`+personPIN+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", stack.APIKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		t.Fatalf("setting the PIN: %s", response.Status)
	}
	return demo{stack, filepath.Join(place, ".local", "bin", "countersign")}
}

// answer answers the approval whose link is in text, as the person, on the page's API.
func (d demo) answer(t *testing.T, text string, flags ...string) {
	t.Helper()
	link := approvalLink.FindString(text)
	if link == "" {
		t.Fatalf("there is no link in %q", text)
	}
	command := exec.CommandContext(t.Context(), d.program, append(append([]string{"approve"}, flags...), link)...)
	command.Stdin = strings.NewReader(personPIN + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", flags, err, out)
	}
}

// receivedCall is a call as the server gets it.
type receivedCall struct {
	Params struct {
		Name      string
		Arguments json.RawMessage
		Meta      struct {
			Receipt string `json:"countersign/receipt"`
		} `json:"_meta"`
	}
}

// writes returns the calls of write_file among the messages that the server got.
func writes(t *testing.T, received string) (all []receivedCall) {
	t.Helper()
	content, err := os.ReadFile(received)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var call receivedCall
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			t.Fatalf("the server got %q: %v", line, err)
		}
		if call.Params.Name == "write_file" {
			all = append(all, call)
		}
	}
	return all
}
