//go:build interop

package gate

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
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
		Code    any
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
		s.configuration["env"] = settings(t, countersign)
	}
	c := start(t, npm, s.program, s.configuration)
	c.next(t, connected)
	return c
}
