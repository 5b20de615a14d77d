// Package state keeps in files what a gate or a hook must remember for the next process: sessions, and the approvals that were asked for.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/client/hold"
)

// suffix is the end of the name of each file of a State.
const suffix = ".sealed"

// Folder is a hold.Memory in the files of a folder, which several processes may use. The files are sealed, because a session opens
// tools. What cannot be written is kept until the process ends.
type Folder struct {
	folder string
	sealer *hold.Sealer

	mu sync.Mutex
	// problem is the first failure of a write.
	problem error
	// unwritten has the values that could not be written.
	unwritten map[string]unwritten
}

type unwritten struct {
	value []byte
	until time.Time
}

// Open returns the state in a folder. It makes the folder.
func Open(folder string, sealer *hold.Sealer) (*Folder, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the state: %w", err)
	}
	return &Folder{folder: folder, sealer: sealer, unwritten: map[string]unwritten{}}, nil
}

func (s *Folder) file(key string) string {
	name := sha256.Sum256([]byte(key))
	return filepath.Join(s.folder, hex.EncodeToString(name[:])+suffix)
}

// purpose is part of the seal, so that a file with the name of another one is not valid.
func purpose(key string) string { return "state " + key }

// Get returns nil also for a file that cannot be read or is not valid. Then the person is asked again.
func (s *Folder) Get(key string) []byte {
	s.mu.Lock()
	kept, found := s.unwritten[key]
	s.mu.Unlock()
	if found && time.Now().Before(kept.until) {
		return kept.value
	}
	content, err := os.ReadFile(s.file(key))
	if err != nil {
		return nil
	}
	var value []byte
	if s.sealer.Open(purpose(key), string(content), &value) != nil {
		return nil
	}
	return value
}

// Problem returns the first failure of a write. Then the next process does not find what this one asked for.
func (s *Folder) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// fail keeps the first error. The caller holds the lock.
func (s *Folder) fail(err error) {
	if s.problem == nil {
		s.problem = err
	}
}

// Put replaces a file, so that a parallel process never reads half of it. The file's modification time is the time at which the value is too
// old.
func (s *Folder) Put(key string, value []byte, until time.Time) {
	err := s.put(key, value, until)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unwritten, key)
	if err != nil {
		s.fail(err)
		s.unwritten[key] = unwritten{value, until}
	}
}

func (s *Folder) put(key string, value []byte, until time.Time) error {
	s.purge()
	sealed, err := s.sealer.Seal(purpose(key), value, until)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(s.folder, "new-*"+suffix) // has the mode 0600
	if err != nil {
		return fmt.Errorf("keeping the state: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString(sealed)
	err = errors.Join(err, temporary.Close(), os.Chtimes(temporary.Name(), until, until))
	if err == nil {
		err = os.Rename(temporary.Name(), s.file(key))
	}
	if err != nil {
		return fmt.Errorf("keeping the state: %w", err)
	}
	return nil
}

// Delete removes a value.
func (s *Folder) Delete(key string) {
	s.mu.Lock()
	delete(s.unwritten, key)
	s.mu.Unlock()
	if err := os.Remove(s.file(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fail(fmt.Errorf("removing state: %w", err))
	}
}

// purge removes values that are too old. A file that another process is writing is younger than a minute.
func (s *Folder) purge() {
	files, err := os.ReadDir(s.folder)
	if err != nil {
		return // the write reports it
	}
	for _, file := range files {
		info, err := file.Info()
		if err == nil && strings.HasSuffix(file.Name(), suffix) && time.Since(info.ModTime()) > time.Minute {
			os.Remove(filepath.Join(s.folder, file.Name()))
		}
	}
}
