package localstores

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

//go:embed apt.sh
var aptScript string

// manager is a package manager, and what the servers, and the browser of the tests, are called there.
type manager struct {
	// program is how the manager is recognized.
	program                  string
	postgres, redis, browser string
	// install is the line to type in front of the packages' names.
	install string
	// script, when there is one, does the same unattended, with the packages as its arguments.
	script string
	// asUser: it refuses to run as root.
	asUser bool
}

var managers = []manager{
	{program: "apt-get", postgres: "postgresql", redis: "redis-server", browser: "chromium", install: "apt-get install -y", script: aptScript},
	{program: "dnf", postgres: "postgresql-server", redis: "redis", browser: "chromium", install: "dnf install -y"},
	{program: "apk", postgres: "postgresql", redis: "redis", browser: "chromium", install: "apk add"},
	{program: "brew", postgres: "postgresql@17", redis: "redis", browser: "chromium", install: "brew install", asUser: true},
}

// Install makes sure that the machine has the servers, with its package manager when that needs no question; what the
// manager says goes to out. Nothing it installs is started. The error is the one line to type when that is not possible.
func Install(ctx context.Context, out io.Writer, postgres, redis bool) error {
	as, err := unprivileged()
	if err != nil {
		as = nil // Debian's package makes the user postgres
	}
	if postgres {
		_, err := findPostgres(as, "")
		postgres = err != nil
	}
	if redis {
		_, err := findRedis()
		redis = err != nil
	}
	if !postgres && !redis {
		return nil
	}
	m, found := thisMachines()
	if !found {
		return fmt.Errorf("install %s, so that they are on the PATH", strings.Join(missing("PostgreSQL", "Redis", postgres, redis), " and "))
	}
	return m.run(ctx, out, missing(m.postgres, m.redis, postgres, redis))
}

func thisMachines() (manager, bool) {
	i := slices.IndexFunc(managers, func(m manager) bool { _, err := exec.LookPath(m.program); return err == nil })
	if i < 0 {
		return manager{}, false
	}
	return managers[i], true
}

func missing(nameOfPostgres, nameOfRedis string, postgres, redis bool) []string {
	var names []string
	if postgres {
		names = append(names, nameOfPostgres)
	}
	if redis {
		names = append(names, nameOfRedis)
	}
	return names
}

func (m manager) run(ctx context.Context, out io.Writer, packages []string) error {
	toType := m.install + " " + strings.Join(packages, " ")
	script := m.script
	if script == "" {
		script = m.install + ` "$@"`
	}
	args := append([]string{"/bin/sh", "-c", script, "sh"}, packages...)
	isRoot := os.Geteuid() == 0
	switch {
	case m.asUser && isRoot:
		return fmt.Errorf("as an ordinary user: %s", toType)
	case !m.asUser && !isRoot:
		toType = "sudo " + toType
		if exec.Command("sudo", "-n", "true").Run() != nil {
			return fmt.Errorf("to install what is missing: %s", toType)
		}
		args = append([]string{"sudo", "-n"}, args...)
	}
	fmt.Fprintf(out, "Installing %s with %s, once.\n", strings.Join(packages, " and "), m.program)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("installing did not work (%w), see above; by hand: %s", err, toType)
	}
	return nil
}
