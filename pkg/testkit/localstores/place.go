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

// place contains the folders and the password of one server.
type place struct {
	name string
	// folder belongs to the user of this program. It contains the log and the password.
	folder string
	// data is the folder of the server's data. It belongs to runAs.
	data     string
	password string
	runAs    *account
	// temporary is true if clear deletes the folders.
	temporary bool
}

// openPlace finds or creates the place of the server called name. If runAs cannot enter folder, the data is below /var/tmp. The
// name of the data's folder depends on folder and the password, so that each copy of the repository has another one.
func openPlace(folder, name string, runAs *account) (p place, err error) {
	p = place{name: name, folder: folder, runAs: runAs}
	if folder == "" {
		p.temporary = true
		if p.folder, err = os.MkdirTemp("", "countersign-"+name+"-"); err != nil {
			return place{}, fmt.Errorf("creating a temporary folder: %w", err)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.clear())
			}
		}()
		if err := os.Chmod(p.folder, 0o711); err != nil {
			return p, fmt.Errorf("making a temporary folder accessible: %w", err)
		}
	}
	if p.folder, err = filepath.Abs(p.folder); err != nil {
		return p, fmt.Errorf("finding the folder of %s: %w", name, err)
	}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return p, fmt.Errorf("creating the folder of %s: %w", name, err)
	}
	if p.password, err = readOrCreateSecret(filepath.Join(p.folder, name+".password")); err != nil {
		return p, err
	}
	p.data = filepath.Join(p.folder, name)
	if runAs.canEnter(p.folder) {
		return p, runAs.makeFolder(p.data)
	}
	id := sha256.Sum256([]byte(p.folder + "\n" + p.password))
	p.data = fmt.Sprintf("/var/tmp/countersign-%s-%x", name, id[:8])
	return p, runAs.makeFolder(p.data)
}

func (p place) log() string { return filepath.Join(p.folder, p.name+".log") }

// clear deletes the folders of a temporary server.
func (p place) clear() error {
	if !p.temporary {
		return nil
	}
	err := os.RemoveAll(p.folder)
	if p.data != "" {
		err = errors.Join(err, os.RemoveAll(p.data))
	}
	return err
}

// readOrCreateSecret returns the content of the file at path. If the file does not exist, it creates the file with a random
// password.
func readOrCreateSecret(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading a password: %w", err)
		}
		return strings.TrimSpace(string(content)), nil
	}
	if err != nil {
		return "", fmt.Errorf("writing a password: %w", err)
	}
	defer f.Close()
	secret := rand.Text()
	if _, err := fmt.Fprintln(f, secret); err != nil {
		return "", fmt.Errorf("writing a password: %w", err)
	}
	return secret, nil
}

// freePort returns a free port below the ports that systems use for outgoing connections. So it is probably still free when a
// stopped server starts again.
func freePort() int {
	for {
		if port := 20000 + mathrand.IntN(12000); PortFree(port) {
			return port
		}
	}
}
