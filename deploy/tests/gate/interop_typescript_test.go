//go:build interop

package gate

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// cancelTime limits the end of a cancelled call. It is shorter than one request that waits for the person.
const cancelTime = 40 * time.Second

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

// TestInteropCancelledCallDoesNotRun: a call that the client cancels while it waits does not run, even if the person approves later.
func TestInteropCancelledCallDoesNotRun(t *testing.T) {
	t.Parallel()
	npm := npmPackages(t)
	for _, transport := range []string{"stdio", "http"} {
		for _, s := range sdks() {
			if s.step != "progress" {
				continue
			}
			t.Run(transport+" "+s.name, func(t *testing.T) {
				t.Parallel()
				countersign, record := clienttest.New(t), filepath.Join(t.TempDir(), "calls")
				countersign.Mode("approval", "pay")
				left := watchWaits(countersign)
				c := connect(t, npm, s, transport, countersign, record, "--wait", "10m")
				c.call(t, "pay")
				c.link(t, s.step)
				if _, err := io.WriteString(c.input, "cancel\n"); err != nil {
					t.Fatal(err)
				}
				c.next(t, func(e event) bool { return e.Error != nil })
				select {
				case <-left:
				case <-time.After(cancelTime):
					t.Fatal("the gate still waits for the person")
				}
				countersign.Decide("approved")
				c.call(t, "look")
				c.text(t, false)
				if ran := calls(t, record); len(ran) != 1 {
					t.Errorf("these calls ran: %q", ran)
				}
			})
		}
	}
}

// watchWaits returns a channel that is closed when a request that waits for the person's answer has ended.
func watchWaits(countersign *clienttest.Countersign) <-chan struct{} {
	left := make(chan struct{})
	end := sync.OnceFunc(func() { close(left) })
	countersign.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("wait") {
			context.AfterFunc(r.Context(), end)
		}
		return false
	})
	return left
}
