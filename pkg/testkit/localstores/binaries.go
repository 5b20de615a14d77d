package localstores

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ErrMissing says that the machine has no such server.
var ErrMissing = errors.New("not installed")

// postgresFolders are where systems put the server's binaries when they do not put them on the PATH.
var postgresFolders = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // PostgreSQL's own packages for Red Hat
	"/usr/libexec/postgresql*",           // Alpine
	"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
}

var redisFolders = []string{"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"}

var postgresVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// findPostgres returns the folder of a Postgres that the account can run: the one of that major version, or when major
// is empty, the first on the PATH and else the newest.
func findPostgres(as *account, major string) (string, error) {
	var folders []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	folders = append(folders, newestFirst(postgresFolders)...)
	for _, folder := range folders {
		if _, err := exec.LookPath(filepath.Join(folder, "initdb")); err != nil {
			continue
		}
		out, err := as.command(filepath.Join(folder, "postgres"), "--version").Output()
		if err != nil {
			continue
		}
		version := postgresVersion.FindSubmatch(out)
		if version != nil && (major == "" || string(version[1]) == major) {
			return folder, nil
		}
	}
	if major != "" {
		return "", fmt.Errorf("looking for Postgres %s, which made the data: %w", major, ErrMissing)
	}
	return "", fmt.Errorf("looking for Postgres: %w", ErrMissing)
}

func newestFirst(patterns []string) []string {
	var found []string
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // the patterns are well-formed
		found = append(found, matches...)
	}
	slices.SortStableFunc(found, func(a, b string) int { return lastNumber(b) - lastNumber(a) })
	return found
}

var number = regexp.MustCompile(`\d+`)

func lastNumber(path string) int {
	all := number.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1]) // digits; one too long to read sorts last
	return n
}

// findRedis returns a redis-server, or the valkey-server that some systems have instead.
func findRedis() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
		for _, folder := range redisFolders {
			if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("looking for Redis: %w", ErrMissing)
}
