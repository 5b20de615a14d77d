package child

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(exec.Command("/bin/sh", "-c", script), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(syscall.SIGKILL, time.Second) })
	return p
}

func writePID(t *testing.T, pid int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(path, []byte(strconv.Itoa(pid)+"\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ended(p *Process) bool {
	select {
	case <-p.Done():
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}

func TestEndLeftover(t *testing.T) {
	tests := []struct {
		name, script, mark string
		want               bool
	}{
		{name: "a leftover is ended", script: "while :; do sleep 0.05; done; : our-folder", mark: "our-folder", want: true},
		{name: "a leftover that ignores the signal is killed", script: `trap "" TERM; while :; do sleep 0.05; done; : our-folder`, mark: "our-folder", want: true},
		{name: "another process with the same id continues", script: "while :; do sleep 0.05; done; : their-folder", mark: "our-folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, tt.script)
			pidFile := writePID(t, p.PID())
			if err := EndLeftover(t.Context(), pidFile, tt.mark, syscall.SIGTERM, 200*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if got := ended(p); got != tt.want {
				t.Errorf("ended: %v, want %v", got, tt.want)
			}
			if _, err := os.Stat(pidFile); err == nil && !tt.want {
				t.Error("the pid file still exists, so a new server would refuse to start")
			}
		})
	}
}

func TestStopKillsAProcessThatIgnoresTheSignal(t *testing.T) {
	p := start(t, `trap "" TERM; while :; do sleep 0.05; done`)
	time.Sleep(100 * time.Millisecond) // until the shell has set its trap
	if err := p.Stop(syscall.SIGTERM, 100*time.Millisecond); err == nil {
		t.Error("no error, although the process was killed")
	}
	if !ended(p) || p.ExitCode() != 128+int(syscall.SIGKILL) {
		t.Errorf("the exit code is %d", p.ExitCode())
	}
}

func TestStopAfterTheProcessHasEnded(t *testing.T) {
	p := start(t, "exit 3")
	<-p.Done()
	if err := p.Stop(syscall.SIGTERM, time.Second); err != nil {
		t.Error(err)
	}
	if p.ExitCode() != 3 {
		t.Errorf("the exit code is %d", p.ExitCode())
	}
}
