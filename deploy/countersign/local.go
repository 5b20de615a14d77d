package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const mailFolder = "mail"

// localFolder is where a copy of the repository keeps what its local stack needs from one start to the next.
type localFolder string

func openLocal(path string) (localFolder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding the local folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("making the local folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(path, mailFolder), 0o700); err != nil {
		return "", fmt.Errorf("making the mail folder: %w", err)
	}
	return localFolder(path), nil
}

func (l localFolder) path(name string) string { return filepath.Join(string(l), name) }

// lock keeps every other stack of this copy from starting until release is called or this program ends.
func (l localFolder) lock() (release func() error, err error) {
	release, err = l.flock("up.lock", syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.New("this copy's stack is running already: use it, or stop it with Ctrl-C where it runs")
	}
	return release, err
}

// flock locks a file of the folder until release is called or this program ends.
func (l localFolder) flock(name string, how int) (release func() error, err error) {
	f, err := os.OpenFile(l.path(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", l, err)
	}
	return f.Close, nil
}

// read fills v from a JSON file, and leaves it as it is when there is no such file.
func (l localFolder) read(name string, v any) error {
	content, err := os.ReadFile(l.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what was kept: %w", err)
	}
	if err := json.Unmarshal(content, v); err != nil {
		return fmt.Errorf("reading %s, which is damaged: %w", l.path(name), err)
	}
	return nil
}

// write keeps v as a JSON file that only its owner reads, whole or not at all.
func (l localFolder) write(name string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	unfinished := l.path(name + ".unfinished")
	if err := os.WriteFile(unfinished, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(unfinished, l.path(name)); err != nil {
		return fmt.Errorf("naming %s: %w", name, err)
	}
	return nil
}

// secrets are made once and kept: data lies under them.
type secrets struct {
	AuthDB        string `json:"auth_db_password"`
	PinAdminDB    string `json:"pin_admin_db_password"`
	PinInternalDB string `json:"pin_internal_db_password"`
	PinKeys       string `json:"pin_keys"`
	AuthKeys      string `json:"auth_keys"`
	KYCSumsub     string `json:"kyc_sumsub_secret"`
	KYCPersona    string `json:"kyc_persona_secret"`
	KYCOnfido     string `json:"kyc_onfido_secret"`
	KYCVeriff     string `json:"kyc_veriff_secret"`
}

func (l localFolder) secrets() (secrets, error) {
	var s secrets
	if err := l.read(keptFile, &s); err != nil {
		return secrets{}, err
	}
	s.fill()
	return s, l.write(keptFile, s)
}

// fill makes the secrets that are missing.
func (s *secrets) fill() {
	fillPasswords(&s.AuthDB, &s.PinAdminDB, &s.PinInternalDB, &s.KYCSumsub, &s.KYCPersona, &s.KYCOnfido, &s.KYCVeriff)
	for _, ring := range []*string{&s.PinKeys, &s.AuthKeys} {
		if *ring == "" {
			*ring = newKey()
		}
	}
}

func fillPasswords(passwords ...*string) {
	for _, password := range passwords {
		if *password == "" {
			*password = rand.Text()
		}
	}
}
