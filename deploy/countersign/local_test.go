package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/keyring"
)

func TestSecretsAreMadeOnceForTheirOwnerAlone(t *testing.T) {
	local, err := openLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := local.secrets()
	if err != nil {
		t.Fatal(err)
	}
	for _, ring := range []string{first.PinKeys, first.AuthKeys} {
		if _, err := keyring.Parse(ring); err != nil {
			t.Error(err)
		}
	}
	if again, err := local.secrets(); err != nil || again != first {
		t.Errorf("a second start made other secrets, or %v", err)
	}
	if info, err := os.Stat(local.path("secrets.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestOneStackForEachCopy(t *testing.T) {
	local, err := openLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	release, err := local.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.lock(); err == nil {
		t.Error("two at a time")
	}
	release()
	if release, err = local.lock(); err != nil {
		t.Errorf("released, it stays locked: %v", err)
	}
	release()
}

func TestTheTourParsesInEveryShell(t *testing.T) {
	text, err := tour(demo{PinInternalURL: "http://127.0.0.1:8083"}, place{Curl: "curl"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "curl ") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 6 {
		t.Errorf("%d lines", len(lines))
	}
	check := exec.Command("sh", "-n")
	check.Stdin = strings.NewReader(strings.Join(lines, ""))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
