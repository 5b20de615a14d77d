package state

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
)

func open(t *testing.T, folder string) *Folder {
	t.Helper()
	sealer, err := hold.NewSealer(client.NewSecret("csp_canary"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(folder, sealer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNextProcessFindsTheState(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "state")
	open(t, folder).Put("a", []byte("first"), time.Now().Add(time.Hour))
	s := open(t, folder)
	if got := s.Get("a"); string(got) != "first" {
		t.Errorf("%q", got)
	}
	s.Delete("a")
	if got := open(t, folder).Get("a"); got != nil {
		t.Errorf("after its removal: %q", got)
	}
}

func TestStateOfAnotherKeyIsNotFound(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.Put("approval:a", []byte("first"), time.Now().Add(time.Hour))
	if err := os.Rename(s.file("approval:a"), s.file("approval:b")); err != nil {
		t.Fatal(err)
	}
	if got := s.Get("approval:b"); got != nil {
		t.Errorf("the value of another key: %q", got)
	}
}

func TestStateThatIsTooOldIsRemoved(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, folder)
	s.Put("old", []byte("canary"), time.Now().Add(-time.Hour))
	if got := s.Get("old"); got != nil {
		t.Errorf("%q", got)
	}
	other := filepath.Join(folder, "notes.txt")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(other, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	s.Put("new", []byte("x"), time.Now().Add(time.Hour))
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 2 || s.Get("new") == nil || s.Problem() != nil {
		t.Errorf("%v, %v, %v", files, err, s.Problem())
	}
}

func TestStateThatCannotBeWrittenIsKeptUntilTheProcessEnds(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "state")
	s := open(t, folder)
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	s.Put("a", []byte("first"), time.Now().Add(time.Hour))
	if got := s.Get("a"); string(got) != "first" || s.Problem() == nil {
		t.Errorf("%q, %v", got, s.Problem())
	}
	s.Delete("a")
	if got := s.Get("a"); got != nil {
		t.Errorf("after its removal: %q", got)
	}
	s.Put("old", []byte("x"), time.Now().Add(-time.Second))
	if got := s.Get("old"); got != nil {
		t.Errorf("a value that is too old: %q", got)
	}
}
