package localstores

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// account is the operating system's user that the servers run as if this program runs as root, because Postgres refuses to
// run as root. A nil account is the user of this program.
type account struct{ uid, gid int }

func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return &account{uid, gid}, nil
		}
	}
	return nil, errors.New("the machine has neither a user postgres nor a user nobody, and Postgres refuses to run as root")
}

// command prepares a program to run as the account. Its working folder is the root folder, which every user can enter. It
// gets only PATH of this program's environment.
func (a *account) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=" + locale()}
	if a != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
	}
	return cmd
}

// locale returns a UTF-8 locale that every system of this kind has.
func locale() string {
	if runtime.GOOS == "darwin" {
		return "en_US.UTF-8"
	}
	return "C.UTF-8"
}

// canEnter reports whether the account can enter the folder.
func (a *account) canEnter(folder string) bool {
	return a == nil || a.command("/bin/sh", "-c", `cd "$1"`, "sh", folder).Run() == nil
}

// makeFolder makes a folder that only the account can read. If the folder exists, makeFolder checks that only the account can
// read it, because another user may have made it below /var/tmp.
func (a *account) makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if err == nil {
		return a.takeOwnership(path)
	}
	info, statErr := os.Lstat(path)
	if statErr != nil {
		return fmt.Errorf("creating a data folder: %w", err)
	}
	owner := os.Geteuid()
	if a != nil {
		owner = a.uid
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm() != 0o700 || int(stat.Uid) != owner {
		return fmt.Errorf("%s is not a folder that only user %d can read: delete or rename it", filepath.Clean(path), owner)
	}
	return nil
}

// takeOwnership makes the account the owner of a file.
func (a *account) takeOwnership(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("changing the owner of a file to user %d: %w", a.uid, err)
	}
	return nil
}
