package localstores

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// place is where one server lives.
type place struct {
	name string
	// folder is ours: it holds the log and the password.
	folder string
	// data belongs to the account that the server runs as, which can get there.
	data      string
	password  string
	as        *account
	throwAway bool
}

// openPlace finds or makes the place of the server called name. When the server's account cannot get to folder, its data
// lies below /var/tmp, under a name that only this folder with this password has, so that a copy of the repository gets
// another one.
func openPlace(folder, name string, as *account) (p place, err error) {
	p = place{name: name, folder: folder, as: as}
	if folder == "" {
		p.throwAway = true
		if p.folder, err = os.MkdirTemp("", "countersign-"+name+"-"); err != nil {
			return place{}, fmt.Errorf("making a temporary folder: %w", err)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.clear())
			}
		}()
		if err := os.Chmod(p.folder, 0o711); err != nil {
			return p, fmt.Errorf("opening a temporary folder: %w", err)
		}
	}
	if p.folder, err = filepath.Abs(p.folder); err != nil {
		return p, fmt.Errorf("finding the folder of %s: %w", name, err)
	}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return p, fmt.Errorf("making the folder of %s: %w", name, err)
	}
	if p.password, err = keptSecret(filepath.Join(p.folder, name+".password")); err != nil {
		return p, err
	}
	p.data = filepath.Join(p.folder, name)
	if as.reaches(p.folder) {
		return p, as.makeFolder(p.data)
	}
	id := sha256.Sum256([]byte(p.folder + "\n" + p.password))
	p.data = fmt.Sprintf("/var/tmp/countersign-%s-%x", name, id[:8])
	return p, as.makeFolder(p.data)
}

func (p place) log() string { return filepath.Join(p.folder, p.name+".log") }

func (p place) clear() error {
	if !p.throwAway {
		return nil
	}
	err := os.RemoveAll(p.folder)
	if p.data != "" {
		err = errors.Join(err, os.RemoveAll(p.data))
	}
	return err
}

// keptSecret returns what the file at path holds, a fresh password when there is no such file yet.
func keptSecret(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading a password: %w", err)
		}
		return strings.TrimSpace(string(content)), nil
	}
	if err != nil {
		return "", fmt.Errorf("keeping a password: %w", err)
	}
	defer f.Close()
	secret := rand.Text()
	if _, err := fmt.Fprintln(f, secret); err != nil {
		return "", fmt.Errorf("keeping a password: %w", err)
	}
	return secret, nil
}

// freePort returns a port that nothing listens on, below those that systems hand out to outgoing connections, so that
// it is still free when the server is started again.
func freePort() int {
	for {
		if port := 20000 + mathrand.IntN(12000); PortFree(port) {
			return port
		}
	}
}
