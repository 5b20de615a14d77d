//go:build interop

package gate

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// eventTime limits the wait for one event of a client.
const eventTime = 2 * time.Minute

// event is what a program of the folder npm writes. One member is set.
type event struct {
	Connected   string
	Elicitation *struct{ Mode, Message, URL, ElicitationID string }
	// Complete is the id of an elicitation that the gate completed.
	Complete string
	Progress *struct{ Message string }
	Result   *struct {
		IsError bool
		Content []struct{ Text string }
	}
	Error *struct {
		Code    int
		Message string
	}
}

// sdkClient is a running program of the folder npm.
type sdkClient struct {
	input  io.Writer
	events chan event
	// elicited and completed are the ids of elicitations that next returned or skipped.
	elicited, completed []string
}

// start starts a program of the folder npm. It ends with the test.
func start(t *testing.T, npm packages, program string, configuration map[string]any) *sdkClient {
	t.Helper()
	text, err := json.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), npm.node, program, string(text))
	command.Dir, command.WaitDelay = npm.folder, 10*time.Second
	errors := &buffer{}
	command.Stderr = errors
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	c := &sdkClient{input: input, events: make(chan event, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(c.events)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			var e event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Errorf("%s wrote %q: %v", program, lines.Text(), err)
				continue
			}
			c.events <- e
		}
	}()
	t.Cleanup(func() {
		_ = input.Close() // the program ends
		<-read
		_ = command.Wait()
		if t.Failed() {
			t.Logf("errors of %s:\n%s", program, errors)
		}
	})
	return c
}

// call sends a call of a tool of the toolserver.
func (c *sdkClient) call(t *testing.T, tool string) {
	t.Helper()
	c.callWith(t, tool, `{"to":"Zoë","amount":3}`)
}

func (c *sdkClient) callWith(t *testing.T, tool, arguments string) {
	t.Helper()
	if _, err := io.WriteString(c.input, `{"name":"`+tool+`","arguments":`+arguments+"}\n"); err != nil {
		t.Fatal(err)
	}
}

// next returns the next event that wanted accepts. It skips messages about progress and completed elicitations.
func (c *sdkClient) next(t *testing.T, wanted func(event) bool) event {
	t.Helper()
	timeout := time.After(eventTime)
	for {
		select {
		case e, open := <-c.events:
			if e.Complete != "" {
				c.completed = append(c.completed, e.Complete)
			}
			switch {
			case !open:
				t.Fatal("the client ended")
			case wanted(e):
				return e
			case e.Progress == nil && e.Complete == "":
				text, _ := json.Marshal(e)
				t.Fatalf("the client got %s", text)
			}
		case <-timeout:
			t.Fatal("the client got nothing")
		}
	}
}

func connected(e event) bool   { return e.Connected != "" }
func elicitation(e event) bool { return e.Elicitation != nil }
func progress(e event) bool {
	return e.Progress != nil && strings.Contains(e.Progress.Message, clienttest.Link)
}
func result(e event) bool { return e.Result != nil }

// text returns the text of the result that the client gets next.
func (c *sdkClient) text(t *testing.T, isError bool) string {
	t.Helper()
	r := c.next(t, result).Result
	if len(r.Content) != 1 || r.IsError != isError {
		t.Fatalf("result %+v, want one text with isError %t", r, isError)
	}
	return r.Content[0].Text
}

// An sdk is a client of the TypeScript SDK, and what it declares.
type sdk struct {
	name, program string
	modern        bool
	// configuration is for the program. step is the step that the gate must use.
	configuration map[string]any
	step          string
}

func sdks() (all []sdk) {
	for _, version := range []sdk{{name: "v1", program: "v1.mjs"}, {name: "v2 2025-11-25", program: "v2.mjs"}, {name: "v2 2026-07-28", program: "v2.mjs", modern: true}} {
		for _, step := range []string{"elicitation", "progress", "text"} {
			s := version
			s.name += " " + step
			s.step = step
			s.configuration = map[string]any{"modern": s.modern, "progress": step == "progress", "action": "accept"}
			if step == "elicitation" {
				s.configuration["elicitation"] = map[string]any{"url": map[string]any{}}
			}
			all = append(all, s)
		}
	}
	return all
}

// connect connects a client to a gate in front of a toolserver, which writes to record.
func connect(t *testing.T, npm packages, s sdk, transport string, countersign *clienttest.Countersign, record string, flags ...string) *sdkClient {
	t.Helper()
	server := built(t, buildToolServer)
	if transport == "http" {
		upstream := listen(t, nil, server, func(address string) []string {
			args := []string{"-record", record, "-http", address}
			if s.modern {
				args = append(args, "-stateless")
			}
			return args
		})
		s.configuration["url"] = gateURL(t, countersign, upstream, flags...)
	} else {
		s.configuration["command"] = gateBinary(t)
		s.configuration["args"] = append(append([]string{}, flags...), "--", server, "-record", record)
		s.configuration["env"] = settings(countersign)
	}
	c := start(t, npm, s.program, s.configuration)
	c.next(t, connected)
	return c
}

// TestInteropTypeScript calls an open and a protected tool with clients of the TypeScript SDK, over stdio and HTTP, in both eras, at each
// step of the ladder. The protected tool runs exactly once, after the person has approved.
func TestInteropTypeScript(t *testing.T) {
	t.Parallel()
	npm := npmPackages(t)
	for _, transport := range []string{"stdio", "http"} {
		for _, s := range sdks() {
			t.Run(transport+" "+s.name, func(t *testing.T) {
				t.Parallel()
				countersign, record := clienttest.New(t), filepath.Join(t.TempDir(), "calls")
				countersign.Mode("approval", "pay")
				c := connect(t, npm, s, transport, countersign, record)

				c.call(t, "look")
				if text := c.text(t, false); text != "done: look" || len(countersign.Approvals()) != 0 {
					t.Fatalf("open tool: %q", text)
				}
				c.call(t, "pay")
				c.link(t, s.step)
				if ran := calls(t, record); len(ran) != 1 {
					t.Fatalf("before the person approved, these calls ran: %q", ran)
				}
				countersign.Decide("approved")
				if s.step == "text" {
					c.call(t, "pay")
				}
				if text := c.text(t, false); text != "done: pay" {
					t.Fatalf("approved call: %q", text)
				}
				approvals, ran := countersign.Approvals(), calls(t, record)
				if len(approvals) != 1 || len(ran) != 2 || ran[1][0] != "pay" || ran[1][1] != `{"amount":3,"to":"Zoë"}` || ran[1][2] != approvals[0].Proof {
					t.Fatalf("these calls ran: %q, with the approvals %+v", ran, approvals)
				}

				c.call(t, "pay")
				c.link(t, s.step)
				countersign.Decide("denied")
				if s.step == "text" {
					c.call(t, "pay")
				}
				if text := c.text(t, true); !strings.HasPrefix(text, "NOT EXECUTED") || !strings.Contains(text, "denied") {
					t.Fatalf("denied call: %q", text)
				}
				if ran := calls(t, record); len(ran) != 2 {
					t.Fatalf("after the person denied, these calls ran: %q", ran)
				}
				if !s.modern && !slices.Equal(c.elicited, c.completed) {
					t.Errorf("elicitations %q, completed %q", c.elicited, c.completed)
				}
			})
		}
	}
}

// link waits until the client got the link at a step.
func (c *sdkClient) link(t *testing.T, step string) {
	t.Helper()
	switch step {
	case "elicitation":
		if e := c.next(t, elicitation).Elicitation; e.Mode != "url" || !strings.HasPrefix(e.URL, clienttest.Link) {
			t.Fatalf("elicitation %+v", e)
		} else {
			c.elicited = append(c.elicited, e.ElicitationID)
		}
	case "progress":
		c.next(t, progress)
	case "text":
		if text := c.text(t, true); !strings.HasPrefix(text, "NOT EXECUTED") || !strings.Contains(text, clienttest.Link) {
			t.Fatalf("text %q", text)
		}
	}
}

// TestInteropElicitationDeclined: a client that declines ends the wait, and the approval is cancelled.
func TestInteropElicitationDeclined(t *testing.T) {
	t.Parallel()
	npm := npmPackages(t)
	for _, transport := range []string{"stdio", "http"} {
		for _, s := range sdks() {
			if s.step != "elicitation" {
				continue
			}
			t.Run(transport+" "+s.name, func(t *testing.T) {
				t.Parallel()
				countersign, record := clienttest.New(t), filepath.Join(t.TempDir(), "calls")
				countersign.Mode("approval", "pay")
				s.configuration["action"] = "decline"
				c := connect(t, npm, s, transport, countersign, record)
				c.call(t, "pay")
				c.link(t, s.step)
				if text := c.text(t, true); !strings.HasPrefix(text, "NOT EXECUTED") {
					t.Errorf("declined call: %q", text)
				}
				if approvals, ran := countersign.Approvals(), calls(t, record); len(approvals) != 1 || approvals[0].Status != "cancelled" || len(ran) != 0 {
					t.Errorf("approvals %+v, these calls ran: %q", approvals, ran)
				}
			})
		}
	}
}

// TestInteropInputRequiredRounds: if the person does not answer within the gate's wait time, a client of 2026-07-28 is asked again with the
// same link, and the call runs after a later round.
func TestInteropInputRequiredRounds(t *testing.T) {
	t.Parallel()
	npm := npmPackages(t)
	for _, transport := range []string{"stdio", "http"} {
		for _, s := range sdks() {
			if s.step != "elicitation" || !s.modern {
				continue
			}
			t.Run(transport, func(t *testing.T) {
				t.Parallel()
				countersign, record := clienttest.New(t), filepath.Join(t.TempDir(), "calls")
				countersign.Mode("approval", "pay")
				c := connect(t, npm, s, transport, countersign, record, "--wait", "1s")
				c.call(t, "pay")
				c.link(t, s.step)
				c.link(t, s.step)
				countersign.Decide("approved")
				for e := c.next(t, func(e event) bool { return elicitation(e) || result(e) }); ; e = c.next(t, func(e event) bool { return elicitation(e) || result(e) }) {
					if result(e) {
						if e.Result.IsError {
							t.Errorf("result %+v", e.Result)
						}
						break
					}
				}
				if approvals, ran := countersign.Approvals(), calls(t, record); len(approvals) != 1 || len(ran) != 1 {
					t.Errorf("approvals %+v, these calls ran: %q", approvals, ran)
				}
			})
		}
	}
}

// TestInteropServerAsksDuringApprovedCall: after the approval, the server asks the client a question of its own. Its answer continues the
// approved call, which runs once.
func TestInteropServerAsksDuringApprovedCall(t *testing.T) {
	t.Parallel()
	npm := npmPackages(t)
	for _, transport := range []string{"stdio", "http"} {
		for _, s := range sdks() {
			if s.step != "elicitation" {
				continue
			}
			t.Run(transport+" "+s.name, func(t *testing.T) {
				t.Parallel()
				countersign, record := clienttest.New(t), filepath.Join(t.TempDir(), "calls")
				countersign.Mode("approval", "order")
				s.configuration["elicitation"] = map[string]any{"url": map[string]any{}, "form": map[string]any{}}
				c := connect(t, npm, s, transport, countersign, record)
				c.call(t, "order")
				c.link(t, s.step)
				countersign.Decide("approved")
				if e := c.next(t, elicitation).Elicitation; e.Mode == "url" || e.Message != "Which size?" {
					t.Fatalf("the client was asked %+v", e)
				}
				if text := c.text(t, false); text != "done: order" {
					t.Fatalf("result %q", text)
				}
				approvals, ran := countersign.Approvals(), calls(t, record)
				if len(approvals) != 1 || len(ran) != 1 || ran[0][2] != approvals[0].Proof {
					t.Errorf("these calls ran: %q, with the approvals %+v", ran, approvals)
				}
			})
		}
	}
}

// TestInteropInspector calls an open and a protected tool with the command line of the MCP Inspector. It declares neither elicitation nor
// progress, so it gets the link as a text. Over stdio it starts a new gate for each call, which does not know the approvals of the gate
// before. So an approved call can be tested only over HTTP.
func TestInteropInspector(t *testing.T) {
	t.Parallel()
	npm := npmPackages(t)
	for _, era := range []string{"legacy", "modern"} {
		for _, transport := range []string{"stdio", "http"} {
			t.Run(era+" "+transport, func(t *testing.T) {
				t.Parallel()
				countersign, record := clienttest.New(t), filepath.Join(t.TempDir(), "calls")
				countersign.Mode("approval", "pay")
				server, target := built(t, buildToolServer), []string{}
				if transport == "http" {
					upstream := listen(t, nil, server, func(address string) []string {
						return []string{"-record", record, "-http", address, fmt.Sprintf("-stateless=%t", era == "modern")}
					})
					target = append(target, "--transport", "http", "--server-url", gateURL(t, countersign, upstream))
				} else {
					for name, value := range settings(countersign) {
						target = append(target, "-e", name+"="+value)
					}
					target = append(target, "--", gateBinary(t), "--", server, "-record", record)
				}
				if text := inspector(t, npm, era, "look", target); !strings.Contains(text, "done: look") || len(countersign.Approvals()) != 0 {
					t.Errorf("open tool: %s", text)
				}
				for _, decision := range []string{"denied", "approved"} {
					if text := inspector(t, npm, era, "pay", target); !strings.Contains(text, "NOT EXECUTED") || !strings.Contains(text, clienttest.Link) {
						t.Errorf("protected tool: %s", text)
					}
					if ran := calls(t, record); len(ran) != 1 {
						t.Fatalf("these calls ran: %q", ran)
					}
					if transport == "stdio" {
						continue
					}
					countersign.Decide(decision)
					wanted := map[string]string{"denied": "The person denied this call", "approved": "done: pay"}[decision]
					if text := inspector(t, npm, era, "pay", target); !strings.Contains(text, wanted) {
						t.Errorf("%s call: %s", decision, text)
					}
				}
				if ran := calls(t, record); transport == "http" && len(ran) != 2 {
					t.Fatalf("these calls ran: %q", ran)
				}
			})
		}
	}
}

// inspector runs the Inspector's command line for one call, and returns its output.
func inspector(t *testing.T, npm packages, era, tool string, target []string) string {
	t.Helper()
	program := filepath.Join(npm.folder, "node_modules", "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
	args := []string{program, "--cli", "--format", "json", "--protocol-era", era, "--method", "tools/call", "--tool-name", tool, "--tool-args-json", `{"to":"Zoë","amount":3}`}
	ctx, cancel := context.WithTimeout(t.Context(), eventTime)
	defer cancel()
	command := exec.CommandContext(ctx, npm.node, append(args, target...)...)
	command.Env, command.WaitDelay = append(os.Environ(), "HOME="+t.TempDir()), 10*time.Second
	output, _ := command.CombinedOutput() // its exit code is 5 if the result is an error
	return string(output)
}
