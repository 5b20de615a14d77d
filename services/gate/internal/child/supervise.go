//go:build unix

package child

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

const (
	// hiddenArgument is the first argument of a supervisor. The others are the path of the server's program and the server's
	// arguments, from argument 0.
	hiddenArgument = "__supervise"
	// lifePipe is the file descriptor of the pipe that is closed when the gate has ended.
	lifePipe = 3
	// startFailed is the exit code of a supervisor that could not start the server. Shells use the same code.
	startFailed = 127
	// lingerTime is how long processes that the server started have to end after SIGTERM, when the server itself has ended.
	lingerTime = time.Second
)

// IsSupervisor reports whether args, the os.Args of this process, are the arguments of a supervisor.
func IsSupervisor(args []string) bool { return len(args) > 1 && args[1] == hiddenArgument }

// Supervise is the whole work of a supervisor: main must call it before anything else, and exit with the code that it returns. It
// starts the server and waits until the server and all its descendants have ended. The result is the exit code of the server.
func Supervise() int {
	runtime.LockOSThread() // the server gets a signal when this thread ends
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "countersign-gate: "+hiddenArgument+" is for internal use")
		return 2
	}
	// A signal must not be ignored, because the server would ignore it too. Only SIGTERM of the gate is for the server.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	syscall.CloseOnExec(lifePipe)
	if err := adoptDescendants(); err != nil {
		fmt.Fprintln(os.Stderr, "countersign-gate: supervise the MCP server:", err)
		return startFailed
	}
	server, err := syscall.ForkExec(os.Args[2], os.Args[3:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: serverAttributes()})
	if err != nil {
		fmt.Fprintf(os.Stderr, "countersign-gate: start the MCP server %s: %v\n", os.Args[2], err)
		return startFailed
	}
	// The gate must see that the server closed its stdin or stdout.
	os.Stdin.Close()
	os.Stdout.Close()
	go func() {
		for range terminate {
			signalAll(server, syscall.SIGTERM)
		}
	}()
	go func() {
		os.NewFile(lifePipe, "life").Read(make([]byte, 1)) //nolint:errcheck // it returns when the gate has ended
		killAll(server)
	}()
	debug.FreeOSMemory()
	return waitForAll(server)
}

// waitForAll waits until this process has no children. Descendants that lost their parent are its children too.
func waitForAll(server int) int {
	code := startFailed
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // ECHILD
			syscall.Kill(-server, syscall.SIGKILL) //nolint:errcheck // for systems on which adoptDescendants does nothing
			return code
		}
		if ended == server {
			code = exitCode(status)
			signalAll(server, syscall.SIGTERM)
			time.AfterFunc(lingerTime, func() { killAll(server) })
		}
	}
}

// killAll kills until waitForAll ends this process: killed processes can leave children, which become children of this process.
func killAll(server int) {
	for {
		signalAll(server, syscall.SIGKILL)
		time.Sleep(10 * time.Millisecond)
	}
}

// signalAll sends a signal to the process group of the server, and to all processes that left the group and lost their parent.
func signalAll(server int, s syscall.Signal) {
	syscall.Kill(-server, s) //nolint:errcheck // all may have ended
	for _, pid := range children() {
		if group, err := syscall.Getpgid(pid); err == nil && group != server {
			syscall.Kill(pid, s) //nolint:errcheck // it may have ended
		}
	}
}
