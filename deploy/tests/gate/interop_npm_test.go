//go:build interop

package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// npmTime limits the installation of the npm packages. The first one downloads about 100 MB.
const npmTime = 5 * time.Minute

// packages is a folder with the installed npm packages and the programs of the folder npm, and the program of Node.
type packages struct{ folder, node string }

// npmPackages installs the npm packages once. It skips the test if npm, its registry or Node 22 is missing.
func npmPackages(t *testing.T) packages {
	t.Helper()
	p, err := installed()
	var missing *missingError
	if errors.As(err, &missing) {
		t.Skip("SKIPPED, NOTHING WAS TESTED: " + missing.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// missingError names what this machine does not have.
type missingError struct{ what string }

func (m *missingError) Error() string { return m.what }

var installed = sync.OnceValues(func() (packages, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return packages{}, &missingError{"npm is not installed on this machine"}
	}
	folder, err := filepath.Abs(filepath.Join("..", "..", "..", ".local", "gate-npm"))
	if err != nil {
		return packages{}, err
	}
	// An installation is complete if it has the lock file, which is written last.
	wanted, err := os.ReadFile(filepath.Join("npm", "package-lock.json"))
	if err != nil {
		return packages{}, err
	}
	complete := filepath.Join(folder, "node_modules", "complete.json")
	if got, err := os.ReadFile(complete); err != nil || !bytes.Equal(got, wanted) {
		if err := install(folder); err != nil {
			return packages{}, err
		}
	} else if err := copyPrograms(folder); err != nil {
		return packages{}, err
	}
	node, err := node22(folder)
	if err != nil {
		return packages{}, err
	}
	return packages{folder, node}, os.WriteFile(complete, wanted, 0o600)
})

// copyPrograms copies the files of the folder npm into folder.
func copyPrograms(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return fs.WalkDir(os.DirFS("npm"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if name == "node_modules" {
				return fs.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(filepath.Join("npm", name))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, name), content, 0o600)
	})
}

// unreachable matches what npm writes if it cannot reach its registry.
var unreachable = regexp.MustCompile(`ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT`)

func install(folder string) error {
	if err := copyPrograms(folder); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), npmTime)
	defer cancel()
	// Install scripts are not needed: Node is in the package of its platform.
	command := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
	command.Dir, command.WaitDelay = folder, 10*time.Second
	output, err := command.CombinedOutput()
	if err != nil && (ctx.Err() != nil || unreachable.Match(output)) {
		return &missingError{"npm cannot reach its registry: " + string(output)}
	}
	if err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	return nil
}

// node22 returns the path of Node 22.19 or later. It is in the package that npm's package node@22 installs for the platform; for a
// platform without such a package, it is the machine's own.
func node22(folder string) (string, error) {
	architecture := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if architecture == "" {
		architecture = runtime.GOARCH
	}
	for _, path := range []string{filepath.Join(folder, "node_modules", "node-"+runtime.GOOS+"-"+architecture, "bin", "node"), "node"} {
		output, err := exec.Command(path, "--print", "JSON.stringify(process.versions.node.split('.'))").Output()
		var version []string
		if err != nil || json.Unmarshal(output, &version) != nil || len(version) < 2 {
			continue
		}
		major, _ := strconv.Atoi(version[0])
		minor, _ := strconv.Atoi(version[1])
		if major > 22 || major == 22 && minor >= 19 {
			return path, nil
		}
	}
	return "", &missingError{"npm has no package with Node 22 for " + runtime.GOOS + "/" + runtime.GOARCH + ", and this machine has no Node 22.19 or later"}
}
