package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const leftoverPoll = 20 * time.Millisecond

// EndLeftover ends a process of an earlier run that crashed, and waits for its end. The first line of pidFile is the id of the
// process. A process id may be reused, so EndLeftover ends only a process whose command line contains mark. If another process
// has the id, EndLeftover removes pidFile, because a new server would refuse to start.
func EndLeftover(ctx context.Context, pidFile, mark string, stopSignal syscall.Signal, grace time.Duration) error {
	content, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a process id: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s does not contain a process id: remove the file", pidFile)
	}
	if hasMark(pid, mark) {
		return end(ctx, pid, mark, stopSignal, grace)
	}
	if exists := syscall.Kill(pid, 0) != syscall.ESRCH; exists {
		if err := os.Remove(pidFile); err != nil {
			return fmt.Errorf("removing the file of a process that has ended: %w", err)
		}
	}
	return nil
}

func end(ctx context.Context, pid int, mark string, stopSignal syscall.Signal, grace time.Duration) error {
	killAt := time.Now().Add(grace)
	sig := stopSignal
	for {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("ending process %d of an earlier run: %w", pid, err)
		}
		for sig == syscall.SIGKILL || time.Now().Before(killAt) {
			if !hasMark(pid, mark) {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for process %d of an earlier run to end: %w", pid, ctx.Err())
			case <-time.After(leftoverPoll):
			}
		}
		sig = syscall.SIGKILL
	}
}

// hasMark reports whether a process exists and its command line contains mark. A process that has ended but whose parent has
// not read its exit code has no command line.
func hasMark(pid int, mark string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		line, err = exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	}
	return err == nil && bytes.Contains(line, []byte(mark))
}
