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

// account is the user that the servers run as when we are root, which Postgres refuses to be; nil: we are somebody else,
// and so are they.
type account struct{ uid, gid int }

func unprivileged() (*account, error) {
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
	return nil, errors.New("neither a user postgres nor a user nobody exists, and Postgres does not run as root")
}

// command prepares a program to run as the account, in the root folder, where everybody may be, and with none of our
// environment but PATH.
func (a *account) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=" + locale()}
	if a != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
	}
	return cmd
}

// locale is a UTF-8 one that every such system has, and that knows more letters than ASCII's.
func locale() string {
	if runtime.GOOS == "darwin" {
		return "en_US.UTF-8"
	}
	return "C.UTF-8"
}

// reaches reports whether the account can enter the folder.
func (a *account) reaches(folder string) bool {
	return a == nil || a.command("/bin/sh", "-c", `cd "$1"`, "sh", folder).Run() == nil
}

// makeFolder makes a folder that belongs to the account alone, or makes sure that it is one: below /var/tmp somebody
// else might have been quicker.
func (a *account) makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if err == nil {
		return a.own(path)
	}
	info, statErr := os.Lstat(path)
	if statErr != nil {
		return fmt.Errorf("making a data folder: %w", err)
	}
	owner := os.Geteuid()
	if a != nil {
		owner = a.uid
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm() != 0o700 || int(stat.Uid) != owner {
		return fmt.Errorf("%s is not a folder of user %d alone: move it away", filepath.Clean(path), owner)
	}
	return nil
}

// own hands a file over to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("handing a file over to user %d: %w", a.uid, err)
	}
	return nil
}
