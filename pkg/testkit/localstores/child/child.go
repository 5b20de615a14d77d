// Package child runs child processes that end with this program. Stop ends a process within a given time. On Linux, the kernel
// ends the process if this program is killed.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a child process.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts cmd. If this program dies first, Linux sends orphanSignal to the child. On other systems the child continues,
// and EndLeftover can end it at the next start.
func Start(cmd *exec.Cmd, orphanSignal syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	setOrphanSignal(cmd.SysProcAttr, orphanSignal)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *Process) run(started chan<- error) {
	// The kernel sends orphanSignal when the thread that started the child ends. So this thread must live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// StartLogged starts cmd as Start does, with its output in a new file at path log. The process has its own process group, so
// that Ctrl-C in this program's terminal does not end it.
func StartLogged(cmd *exec.Cmd, log string, orphanSignal syscall.Signal) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	return Start(cmd, orphanSignal)
}

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode waits for the end of the process and returns its exit code, or 128 plus the number of the signal that ended it.
func (p *Process) ExitCode() int {
	<-p.done
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the process. It does nothing if the process has ended.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", sig, p.cmd.Path, err)
	}
	return nil
}

// Stop sends stopSignal to the process and waits until it ends. After grace it kills the process and returns an error.
func (p *Process) Stop(stopSignal os.Signal, grace time.Duration) error {
	if err := p.Signal(stopSignal); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	if err := p.Signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return fmt.Errorf("%s did not stop within %s and was killed", p.cmd.Path, grace)
}
