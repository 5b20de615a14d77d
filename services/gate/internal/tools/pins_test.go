package tools

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// pinned is a Pins with what it reported.
type pinned struct {
	*Pins
	t        *testing.T
	log      *bytes.Buffer
	registry *prometheus.Registry
}

func openPins(t *testing.T, file string) pinned {
	t.Helper()
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	p, err := OpenPins(file, slog.New(slog.NewJSONHandler(&log, nil)), registry)
	if err != nil {
		t.Fatal(err)
	}
	return pinned{p, t, &log, registry}
}

// reports checks how many changes were counted and logged.
func (p pinned) reports(want int) {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	counted := int(families[0].GetMetric()[0].GetCounter().GetValue())
	if logged := strings.Count(p.log.String(), "changed a tool"); counted != want || logged != want {
		p.t.Errorf("%d changes counted, %d logged, want %d: %s", counted, logged, want, p.log)
	}
}

func (p pinned) lists(tools ...string) {
	p.Listed(json.RawMessage(`{"tools":[` + strings.Join(tools, ",") + `]}`))
}

const (
	writeTool = `{"name":"write","description":"Writes","inputSchema":{"type":"object","maximum":1.0},"annotations":{"readOnlyHint":false,"title":"W"}}`
	sorted    = `{"annotations":{"title":"W","readOnlyHint":false},"inputSchema":{"maximum":1.0,"type":"object"},"description":"Writes","name":"write"}`
	readTool  = `{"name":"read"}`
)

func TestChangeAfterAnApprovalIsReported(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		changed string
		want    int
	}{
		"nothing":         {writeTool, 0},
		"the order":       {sorted, 0},
		"an unread field": {strings.Replace(writeTool, `{`, `{"_meta":{"n":1},`, 1), 0},
		"the description": {strings.Replace(writeTool, "Writes", "Writes!", 1), 1},
		"the schema":      {strings.Replace(writeTool, "1.0", "2", 1), 1},
		"the annotations": {strings.Replace(writeTool, "false", "true", 1), 1},
		"the title":       {strings.Replace(writeTool, `{`, `{"title":"x",`, 1), 1},
	} {
		p := openPins(t, "")
		p.lists(readTool, writeTool)
		p.Approved("write")
		p.lists(rule.changed, strings.Replace(readTool, "}", `,"description":"not approved"}`, 1))
		p.lists(rule.changed) // reported once
		if p.reports(rule.want); t.Failed() {
			t.Fatal(name)
		}
		if rule.want > 0 {
			p.lists(strings.Replace(writeTool, "Writes", "again", 1))
			p.reports(2)
		}
	}
}

func TestChangeBeforeAnApprovalIsNotReported(t *testing.T) {
	t.Parallel()
	p := openPins(t, "")
	p.lists(writeTool)
	p.lists(strings.Replace(writeTool, "Writes", "x", 1))
	p.Approved("write")
	p.lists(strings.Replace(writeTool, "Writes", "x", 1))
	p.reports(0)
}

// A client can call a tool without listing it.
func TestToolThatIsListedAfterItsApproval(t *testing.T) {
	t.Parallel()
	p := openPins(t, "")
	p.Approved("write")
	p.lists(writeTool)
	p.reports(0)
	p.lists(strings.Replace(writeTool, "Writes", "x", 1))
	p.reports(1)
}

func TestPinsAreKeptInAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pins.json")
	first, second := openPins(t, file), openPins(t, file) // two gates
	first.lists(writeTool)
	first.Approved("write")
	second.lists(readTool)
	second.Approved("read")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	later := openPins(t, file)
	later.Response([]byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[` + strings.Replace(writeTool, "Writes", "x", 1) + `,` + strings.Replace(readTool, "}", `,"title":"x"}`, 1) + `]}}`))
	later.reports(2)
	later.Approved("write") // an approval does not accept the change
	again := openPins(t, file)
	again.lists(writeTool)
	again.reports(0)
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("temporary files are left: %v, %v", entries, err)
	}
}

func TestPinsThatCannotBeReadOrWritten(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, content := range map[string]string{"no JSON": "canary", "another JSON": `{"canary":1}`, "empty": ""} {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPins(file, slog.Default(), prometheus.NewRegistry()); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	if _, err := OpenPins(filepath.Join(gone, "pins.json"), slog.Default(), prometheus.NewRegistry()); err == nil {
		t.Error("the folder of the pins does not exist")
	}
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	p := openPins(t, filepath.Join(gone, "pins.json"))
	if err := os.RemoveAll(gone); err != nil {
		t.Fatal(err)
	}
	p.lists(writeTool)
	p.Approved("write")
	if !strings.Contains(p.log.String(), "are not kept") {
		t.Errorf("the log: %s", p.log)
	}
}

func TestListsThatPinsIgnore(t *testing.T) {
	t.Parallel()
	p := openPins(t, "")
	p.lists(writeTool)
	p.Approved("write")
	for _, result := range []string{``, `null`, `{}`, `{"tools":{}}`, `{"tools":[1]}`, `[`} {
		p.Listed(json.RawMessage(result))
		p.Response([]byte(result))
	}
	p.Response([]byte(`{"error":{"code":1}}`))
	p.reports(0)
}
