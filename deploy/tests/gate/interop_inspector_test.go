//go:build interop

package gate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// TestInteropInspector calls an open and a protected tool with the command line of the MCP Inspector. It declares neither elicitation nor
// progress, so it gets the link as a text. Over stdio it starts a new gate for each call, which finds the approval of the gate before.
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
					for name, value := range settings(t, countersign) {
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
					countersign.Decide(decision)
					wanted := map[string]string{"denied": "The person denied this call", "approved": "done: pay"}[decision]
					if text := inspector(t, npm, era, "pay", target); !strings.Contains(text, wanted) {
						t.Errorf("%s call: %s", decision, text)
					}
				}
				if ran := calls(t, record); len(ran) != 2 {
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
