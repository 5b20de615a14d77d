// Package folder keeps the command's JSON files and locks in one folder of the disk.
package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Folder is the path of a folder.
type Folder string

// Path returns the path of a file in the folder.
func (f Folder) Path(name string) string { return filepath.Join(string(f), name) }

// ErrLocked says that another process holds a lock.
var ErrLocked = errors.New("another process holds the lock")

// Lock waits for a lock file of the folder and holds it until release is called or this process ends.
func (f Folder) Lock(name string) (release func() error, err error) {
	return f.lock(name, syscall.LOCK_EX)
}

// TryLock is Lock without waiting: it returns ErrLocked while another process holds the lock.
func (f Folder) TryLock(name string) (release func() error, err error) {
	release, err = f.lock(name, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return release, err
}

func (f Folder) lock(name string, how int) (release func() error, err error) {
	file, err := os.OpenFile(f.Path(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a lock file: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", f, err)
	}
	return file.Close, nil
}

// Read fills v from a JSON file. It leaves v unchanged when the file does not exist.
func (f Folder) Read(name string, v any) error {
	content, err := os.ReadFile(f.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a file of %s: %w", f, err)
	}
	if err := json.Unmarshal(content, v); err != nil {
		return fmt.Errorf("%s is not valid JSON: %w", f.Path(name), err)
	}
	return nil
}

// Write writes v as a JSON file that only its owner may read. A crash leaves the old file or the new one, never a part.
func (f Folder) Write(name string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	unfinished := f.Path(name + ".unfinished")
	if err := os.WriteFile(unfinished, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(unfinished, f.Path(name)); err != nil {
		return fmt.Errorf("renaming %s: %w", unfinished, err)
	}
	return nil
}
