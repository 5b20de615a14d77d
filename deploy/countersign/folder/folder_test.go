package folder

import (
	"errors"
	"os"
	"testing"
)

func TestLockIsHeldByOneProcess(t *testing.T) {
	f := Folder(t.TempDir())
	release, err := f.TryLock("lock")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.TryLock("lock"); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	release()
	if release, err = f.TryLock("lock"); err != nil {
		t.Fatalf("locked after the release: %v", err)
	}
	release()
}

func TestFilesAreReadableOnlyByTheirOwner(t *testing.T) {
	f := Folder(t.TempDir())
	got := map[string]string{"before": "kept"}
	if err := f.Read("a.json", &got); err != nil || got["before"] != "kept" {
		t.Errorf("a file that does not exist: %v, %v", got, err)
	}
	if err := f.Write("a.json", map[string]string{"name": "value"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Read("a.json", &got); err != nil || got["name"] != "value" {
		t.Errorf("read %v, %v", got, err)
	}
	if info, err := os.Stat(f.Path("a.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(f.Path("a.json"), []byte(`{"name"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Read("a.json", &got); err == nil {
		t.Error("a damaged file was read")
	}
}
