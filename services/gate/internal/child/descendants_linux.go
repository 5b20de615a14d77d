package child

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// executable is this program, also if its file was replaced.
func executable() (string, error) { return "/proc/self/exe", nil }

// serverAttributes gives the server its own process group, and kills it if the supervisor is killed.
func serverAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// hideMemory makes this process's memory and environment, which have the keys, unreadable for the server, a process of the same user.
func hideMemory() error { return prctl(syscall.PR_SET_DUMPABLE, 0) }

// adoptDescendants makes this process the parent of all descendants that lose their parent, so that children returns them.
func adoptDescendants() error {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER, which package syscall does not have
	return prctl(setChildSubreaper, 1)
}

func prctl(option, value uintptr) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, option, value, 0); errno != 0 {
		return errno
	}
	return nil
}

// children returns the ids of this process's children.
func children() []int {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, process := range processes {
		if pid, err := strconv.Atoi(process.Name()); err == nil && parent(pid) == os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// parent returns the id of a process's parent, or 0.
func parent(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name of the program is in parentheses and can contain anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	id, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return id
}
