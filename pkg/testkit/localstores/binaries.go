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

// ErrMissing says that the server is not installed.
var ErrMissing = errors.New("not installed")

// postgresFolders are the folders of the server's programs on systems that do not put them on the PATH.
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

// findPostgres returns the folder of the programs of a Postgres that the account can run. If major is empty, it is the Postgres
// on the PATH, or else the newest one. Otherwise it has that major version. findPostgres returns ErrMissing.
func findPostgres(runAs *account, major string) (string, error) {
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
		out, err := runAs.command(filepath.Join(folder, "postgres"), "--version").Output()
		if err != nil {
			continue
		}
		version := postgresVersion.FindSubmatch(out)
		if version != nil && (major == "" || string(version[1]) == major) {
			return folder, nil
		}
	}
	if major != "" {
		return "", fmt.Errorf("looking for Postgres %s, which created the data: %w", major, ErrMissing)
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
	n, _ := strconv.Atoi(all[len(all)-1]) // all digits; a number that is too long becomes 0
	return n
}

// findRedis returns the path of redis-server, or of valkey-server, which some systems have instead. The error may be
// ErrMissing.
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
