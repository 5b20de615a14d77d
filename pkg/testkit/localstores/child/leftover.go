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

// EndLeftover ends the process that an earlier, crashed run left behind, and returns when it is gone. The file at
// pidFile names it on its first line. Process ids are reused, so nothing happens to a process whose command line does
// not speak of mark; then the file is removed when it would make a new server believe that the old one still runs.
func EndLeftover(ctx context.Context, pidFile, mark string, ask syscall.Signal, grace time.Duration) error {
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
		return fmt.Errorf("%s names no process: remove it", pidFile)
	}
	if speaksOf(pid, mark) {
		return end(ctx, pid, mark, ask, grace)
	}
	if exists := syscall.Kill(pid, 0) != syscall.ESRCH; exists {
		if err := os.Remove(pidFile); err != nil {
			return fmt.Errorf("removing the id of a process that is gone: %w", err)
		}
	}
	return nil
}

func end(ctx context.Context, pid int, mark string, ask syscall.Signal, grace time.Duration) error {
	killAt := time.Now().Add(grace)
	sig := ask
	for {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("ending process %d, left behind by an earlier run: %w", pid, err)
		}
		for sig == syscall.SIGKILL || time.Now().Before(killAt) {
			if !speaksOf(pid, mark) {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for process %d, left behind by an earlier run: %w", pid, ctx.Err())
			case <-time.After(leftoverPoll):
			}
		}
		sig = syscall.SIGKILL
	}
}

// speaksOf reports whether a process lives whose command line contains mark. One that is dead and only waits for its
// parent to notice has no command line.
func speaksOf(pid int, mark string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		line, err = exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	}
	return err == nil && bytes.Contains(line, []byte(mark))
}
