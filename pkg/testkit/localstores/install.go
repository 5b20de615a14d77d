package localstores

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

//go:embed apt.sh
var aptScript string

// manager is a package manager.
type manager struct {
	// program is the manager's command. The manager is used if this command is on the PATH.
	program string
	// packages maps the name of a program to its package. A program that is not in the map has a package of its own name.
	packages map[string]string
	// install is the command that a person types in front of the packages' names.
	install string
	// script installs the packages in its arguments without questions. Empty means that install does so.
	script string
	// notAsRoot is true if the manager refuses to run as root.
	notAsRoot bool
}

// The names of the servers in messages and in manager.packages.
const (
	postgresName = "PostgreSQL"
	redisName    = "Redis"
)

var managers = []manager{
	{program: "apt-get", packages: map[string]string{postgresName: "postgresql", redisName: "redis-server"}, install: "apt-get install -y", script: aptScript},
	{program: "dnf", packages: map[string]string{postgresName: "postgresql-server", redisName: "redis"}, install: "dnf install -y"},
	{program: "apk", packages: map[string]string{postgresName: "postgresql", redisName: "redis"}, install: "apk add"},
	{program: "brew", packages: map[string]string{postgresName: "postgresql@17", redisName: "redis"}, install: "brew install", notAsRoot: true},
}

// Install installs the servers that the machine does not have, if the package manager can do so without a question. It does
// not start them. The output of the package manager goes to out. If Install cannot install them, the error contains
// the command that a person must type.
func Install(ctx context.Context, out io.Writer, postgres, redis bool) error {
	runAs, err := serverAccount()
	if err != nil {
		runAs = nil // Debian's package creates the user postgres
	}
	var missing []string
	if postgres {
		if _, err := findPostgres(runAs, ""); err != nil {
			missing = append(missing, postgresName)
		}
	}
	if redis {
		if _, err := findRedis(); err != nil {
			missing = append(missing, redisName)
		}
	}
	return install(ctx, out, missing)
}

// Programs installs, as Install does, the packages of the programs that are not on the PATH. packages maps a program to
// its package, which has the same name in every package manager.
func Programs(ctx context.Context, out io.Writer, packages map[string]string) error {
	var missing []string
	for _, program := range slices.Sorted(maps.Keys(packages)) {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, packages[program])
		}
	}
	return install(ctx, out, missing)
}

// installMissing returns the path that find returns. If find returns an empty path, it installs the program and tries again.
func installMissing(ctx context.Context, out io.Writer, program string, find func() string) (string, error) {
	if path := find(); path != "" {
		return path, nil
	}
	if err := install(ctx, out, []string{program}); err != nil {
		return "", err
	}
	if path := find(); path != "" {
		return path, nil
	}
	return "", errors.New("the installed package does not contain " + program + ": install it by hand, so that it is on the PATH")
}

// install installs programs with the machine's package manager.
func install(ctx context.Context, out io.Writer, programs []string) error {
	if len(programs) == 0 {
		return nil
	}
	i := slices.IndexFunc(managers, func(m manager) bool { _, err := exec.LookPath(m.program); return err == nil })
	if i < 0 {
		return fmt.Errorf("install %s, so that the programs are on the PATH", strings.Join(programs, " and "))
	}
	m := managers[i]
	packages := make([]string, len(programs))
	for i, program := range programs {
		packages[i] = cmp.Or(m.packages[program], program)
	}
	command := m.install + " " + strings.Join(packages, " ")
	args := append([]string{"/bin/sh", "-c", cmp.Or(m.script, m.install+` "$@"`), "sh"}, packages...)
	isRoot := os.Geteuid() == 0
	switch {
	case m.notAsRoot && isRoot:
		return fmt.Errorf("run this command as an ordinary user, not as root: %s", command)
	case !m.notAsRoot && !isRoot:
		command = "sudo " + command
		if exec.Command("sudo", "-n", "true").Run() != nil {
			return fmt.Errorf("run this command to install what is missing: %s", command)
		}
		args = append([]string{"sudo", "-n"}, args...)
	}
	fmt.Fprintf(out, "Installing %s with %s. This is necessary only once.\n", strings.Join(packages, " and "), m.program)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the installation failed (%w), see the lines above; run this command by hand: %s", err, command)
	}
	return nil
}
