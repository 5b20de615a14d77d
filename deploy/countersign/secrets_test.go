package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/keyring"
)

// The steps of docs/operate.md: make, back up, rotate, restore.
func TestSecrets(t *testing.T) {
	withDatabase(t)
	stack := func() string {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "kept"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("SECRETS_DIR", dir)
		return dir
	}
	ids := func(dir string) string {
		content, err := os.ReadFile(filepath.Join(dir, "pin-internal", "pin_keys"))
		if err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.Parse(strings.TrimSpace(string(content)))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(ring.IDs(), ", ")
	}
	dir := stack()
	if r := runs(t, "", "secrets").want(t, exitDone); r.out != "" {
		t.Errorf("secrets printed %q", r.out)
	}
	backup, err := os.ReadFile(filepath.Join(dir, "kept", "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	first := ids(dir)
	for _, step := range []string{"append", "promote", "retire"} {
		r := runs(t, "", "secrets", step, "PIN_KEYS").want(t, exitDone)
		if !strings.Contains(r.out, "PIN_KEYS: "+ids(dir)) {
			t.Errorf("%s printed %q, the keys are %s", step, r.out, ids(dir))
		}
	}
	if now := ids(dir); now == first || strings.Contains(now, ",") {
		t.Errorf("the key %s became %s", first, now)
	}
	runs(t, string(backup), "secrets", "import").want(t, exitFailed)
	dir = stack()
	runs(t, string(backup), "secrets", "import").want(t, exitDone)
	if ids(dir) != first {
		t.Error("the restored key is not the one of the backup")
	}
}
