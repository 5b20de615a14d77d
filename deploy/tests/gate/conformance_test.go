//go:build interop

package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// suiteTime limits one run of the conformance suite.
const suiteTime = 3 * time.Minute

// protectedInSuite are the tools that need an approval in the last column of the table, and the scenarios of the suite that call them.
var protectedInSuite = map[string][]string{
	"test_simple_text":                         {"tools-call-simple-text"},
	"test_tool_with_progress":                  {"tools-call-with-progress"},
	"test_elicitation":                         {"tools-call-elicitation"},
	"test_input_required_result_request_state": {"input-required-result-request-state"},
}

// checks is how often each check of a run has each status. The key is the scenario and the check.
type checks map[[2]string]map[string]int

// count returns how many checks of a run have a status.
func (c checks) count(status string) (n int) {
	for _, statuses := range c {
		n += statuses[status]
	}
	return n
}

// lost returns the checks that passed in c and did not pass in other.
func (c checks) lost(other checks) [][2]string {
	var all [][2]string
	for check, statuses := range c {
		if other[check]["SUCCESS"] < statuses["SUCCESS"] {
			all = append(all, check)
		}
	}
	slices.SortFunc(all, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	return all
}

func (c checks) String() string {
	return fmt.Sprintf("%d passed, %d failed", c.count("SUCCESS"), c.count("FAILURE"))
}

// runSuite runs all scenarios of the conformance suite for a version of MCP against a server.
func runSuite(t *testing.T, npm packages, version, url string) checks {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTime)
	defer cancel()
	results := t.TempDir()
	program := filepath.Join(npm.folder, "node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
	command := exec.CommandContext(ctx, npm.node, program, "server", "--url", url, "--suite", "all", "--spec-version", version, "--output-dir", results)
	output, err := command.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("the suite did not end: %v\n%s", err, output)
	}
	return readChecks(t, results)
}

// resultFolder is the name of the folder of one scenario.
var resultFolder = regexp.MustCompile(`^server-(.+)-\d{4}-\d\d-\d\dT[0-9-]+Z$`)

func readChecks(t *testing.T, results string) checks {
	t.Helper()
	folders, err := os.ReadDir(results)
	if err != nil || len(folders) < 20 {
		t.Fatalf("the suite wrote the results of %d scenarios (%v)", len(folders), err)
	}
	all := checks{}
	for _, folder := range folders {
		name := resultFolder.FindStringSubmatch(folder.Name())
		content, err := os.ReadFile(filepath.Join(results, folder.Name(), "checks.json"))
		if err != nil || name == nil {
			t.Fatalf("result %s: %v", folder.Name(), err)
		}
		var found []struct{ ID, Status string }
		if err := json.Unmarshal(content, &found); err != nil {
			t.Fatal(err)
		}
		for _, check := range found {
			key := [2]string{name[1], check.ID}
			if all[key] == nil {
				all[key] = map[string]int{}
			}
			all[key][check.Status]++
		}
	}
	return all
}

// TestConformance compares the official suite without the gate, with a gate that protects nothing, and with a gate that protects some
// tools.
func TestConformance(t *testing.T) {
	t.Parallel()
	npm, server := npmPackages(t), built(t, buildEverything)
	var table strings.Builder
	table.WriteString("| MCP | server | without the gate | with the gate, all tools open | with the gate, four tools protected | not passed because of this |\n|---|---|---|---|---|---|\n")
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		for _, sessions := range []bool{true, false} {
			kind := map[bool]string{true: "with sessions", false: "stateless"}[sessions]
			upstream := listen(t, nil, server, func(address string) []string {
				return []string{"-http", address, fmt.Sprintf("-stateless=%t", !sessions)}
			})
			countersign := clienttest.New(t)
			open := runSuite(t, npm, version, gateURL(t, countersign, upstream))
			direct := runSuite(t, npm, version, upstream)
			countersign.Mode("approval", slices.Collect(maps.Keys(protectedInSuite))...)
			countersign.Answer("approved")
			held := runSuite(t, npm, version, gateURL(t, countersign, upstream))

			for _, check := range direct.lost(open) {
				t.Errorf("%s, %s: %s of %s passes without the gate, and does not pass with it", version, kind, check[1], check[0])
			}
			lost := map[string]bool{}
			for _, check := range direct.lost(held) {
				lost[check[0]] = true
				if !callsProtected(check[0]) {
					t.Errorf("%s, %s: %s of %s passes without the gate, and does not pass with a gate that protects other tools", version, kind, check[1], check[0])
				}
			}
			if len(countersign.Approvals()) == 0 {
				t.Errorf("%s, %s: no call was held", version, kind)
			}
			fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s |\n", version, kind, direct, open, held, strings.Join(slices.Sorted(maps.Keys(lost)), ", "))
		}
	}
	t.Logf("checks of the conformance suite\n%s", &table)
}

// callsProtected reports whether a scenario calls a protected tool.
func callsProtected(scenario string) bool {
	for _, scenarios := range protectedInSuite {
		if slices.Contains(scenarios, scenario) {
			return true
		}
	}
	return false
}
