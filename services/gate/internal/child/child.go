//go:build unix

// Package child runs the MCP server that the gate stands in front of. The server and all processes that it starts end with the gate,
// also if the gate is killed with SIGKILL: a small second process of the same program, the supervisor, is their parent. It holds the
// read end of a pipe whose write end only the gate has. When the pipe is closed, it kills them.
package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// askTime is how long the server has to end after its stdin was closed, before it gets SIGTERM.
	askTime = 2 * time.Second
	// termTime is how long it has after SIGTERM, before it gets SIGKILL.
	termTime = 3 * time.Second
	// killTime is how long the supervisor has to kill all processes. A process in an uninterruptible system call can take longer.
	killTime = 2 * time.Second
	// stderrTime is how long stderr is copied after the server ended, if it is not a file.
	stderrTime = time.Second
)

// Process is a running server.
type Process struct {
	Stdin  io.WriteCloser
	Stdout io.ReadCloser

	supervisor *exec.Cmd
	life       *os.File
	exited     chan struct{}
	code       int
}

// Start starts a command with an environment of the form of os.Environ, which must not contain the gate's keys. stderr should be an
// *os.File: then the server writes to it without the gate, so that a stderr that nobody reads never blocks the gate. Errors name the
// command and not its arguments.
func Start(command, environment []string, stderr io.Writer) (*Process, error) {
	p, err := start(command, environment, stderr)
	if err != nil {
		return nil, fmt.Errorf("start the MCP server: %w", err)
	}
	return p, nil
}

func start(command, environment []string, stderr io.Writer) (*Process, error) {
	if len(command) == 0 {
		return nil, errors.New("the command is missing")
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, err
	}
	self, err := executable()
	if err != nil {
		return nil, err
	}
	if err := hideMemory(); err != nil {
		return nil, fmt.Errorf("hide the gate's memory: %w", err)
	}
	dead, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer dead.Close()
	// Not StdoutPipe: Wait closes its pipe before everything is read.
	stdout, serverStdout, err := os.Pipe()
	if err != nil {
		life.Close()
		return nil, err
	}
	defer serverStdout.Close()
	supervisor := exec.Command(self)
	supervisor.Args = append([]string{os.Args[0], hiddenArgument, path}, command...)
	supervisor.Env = append([]string{}, environment...) // nil would be the environment of the gate
	supervisor.Stdout, supervisor.Stderr = serverStdout, stderr
	supervisor.WaitDelay = stderrTime
	supervisor.ExtraFiles = []*os.File{dead}
	supervisor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the gate, which ends the server in order
	stdin, err := supervisor.StdinPipe()
	if err == nil {
		err = supervisor.Start()
	}
	if err != nil {
		life.Close()
		stdout.Close()
		return nil, err
	}
	p := &Process{Stdin: stdin, Stdout: stdout, supervisor: supervisor, life: life, exited: make(chan struct{})}
	go p.wait()
	return p, nil
}

func (p *Process) wait() {
	p.supervisor.Wait() //nolint:errcheck // the state of the process says everything
	p.code = exitCode(p.supervisor.ProcessState.Sys().(syscall.WaitStatus))
	p.life.Close()
	close(p.exited)
}

// Exited is closed when the server and all processes that it started have ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Stop ends the server: its stdin is closed, 2 seconds later it gets SIGTERM, and 3 seconds later SIGKILL. Stop returns as soon as the
// server and all processes that it started have ended, with the server's exit code: 128 and the number of the signal if a signal ended
// it. Stdout can still be read.
func (p *Process) Stop() int {
	p.Stdin.Close()
	if p.endedWithin(askTime) {
		return p.code
	}
	p.supervisor.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	if p.endedWithin(termTime) {
		return p.code
	}
	p.life.Close()
	if p.endedWithin(killTime) {
		return p.code
	}
	p.supervisor.Process.Kill() //nolint:errcheck // it may have ended
	return exitCode(syscall.WaitStatus(syscall.SIGKILL))
}

func (p *Process) endedWithin(d time.Duration) bool {
	select {
	case <-p.exited:
		return true
	case <-time.After(d):
		return false
	}
}

// exitCode is the exit code of a process as a shell shows it.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
