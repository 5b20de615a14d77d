//go:build unix

package child_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/services/gate/internal/child"
)

// serverMode is the variable that makes the test binary a server, or a gate, with a behaviour.
const serverMode = "CHILD_TEST_MODE"

func TestMain(m *testing.M) {
	switch {
	case child.IsSupervisor(os.Args):
		os.Exit(child.Supervise())
	case len(os.Args) > 2 && os.Args[1] == serverMode:
		os.Exit(behave(os.Args[2]))
	}
	os.Exit(m.Run())
}

// behave is a server.
func behave(mode string) int {
	switch mode {
	case "exit 7":
		return 7
	case "killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "until EOF":
		io.Copy(io.Discard, os.Stdin)
		return 3
	case "until SIGTERM":
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		fmt.Println("ready")
		<-terminated
		return 4
	case "forever":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "forks", "forks a session", "forks and ends", "forks a session and ends":
		grandchild := exec.Command(os.Args[0], serverMode, "forever")
		grandchild.Stderr = os.Stderr
		grandchild.SysProcAttr = &syscall.SysProcAttr{Setsid: strings.HasPrefix(mode, "forks a session")}
		ready, _ := grandchild.StdoutPipe()
		if err := grandchild.Start(); err != nil {
			return 1
		}
		bufio.NewReader(ready).ReadString('\n')
		if !strings.HasSuffix(mode, "and ends") {
			signal.Ignore(syscall.SIGTERM)
			fmt.Println("ready")
			time.Sleep(time.Hour)
		}
		fmt.Println("ready")
		return 5
	case "environment":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "stderr without end":
		for {
			if _, err := os.Stderr.Write(make([]byte, 1<<20)); err != nil {
				return 6
			}
		}
	case "gate":
		server, err := child.Start([]string{os.Args[0], serverMode, os.Args[3]}, os.Environ(), os.Stderr)
		if err != nil {
			return 1
		}
		line, _ := bufio.NewReader(server.Stdout).ReadString('\n')
		fmt.Print(line)
		time.Sleep(time.Hour)
	}
	return 0
}

func start(t *testing.T, mode string, stderr io.Writer) *child.Process {
	t.Helper()
	p, err := child.Start([]string{os.Args[0], serverMode, mode}, os.Environ(), stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(); p.Stdout.Close() })
	return p
}

func waitReady(t *testing.T, stdout io.Reader) {
	t.Helper()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]int{"exit 7": 7, "killed": 137} {
		p := start(t, mode, os.Stderr)
		<-p.Exited()
		if code := p.Stop(); code != want {
			t.Errorf("%s: the exit code is %d", mode, code)
		}
	}
}

func TestStopAsksBeforeItKills(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]int{"until EOF": 3, "until SIGTERM": 4, "forever": 137} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := start(t, mode, os.Stderr)
			if mode != "until EOF" {
				waitReady(t, p.Stdout)
			}
			if code := p.Stop(); code != want {
				t.Errorf("the exit code is %d", code)
			}
		})
	}
}

// The test's pipe is the stderr of all processes, so it ends when all of them have ended.
func TestAllProcessesEnd(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"forks", "forks a session", "forks and ends", "forks a session and ends"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			alive, stderr, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer alive.Close()
			p := start(t, mode, stderr)
			stderr.Close()
			waitReady(t, p.Stdout)
			code := p.Stop()
			if strings.HasSuffix(mode, "and ends") != (code == 5) {
				t.Errorf("the exit code is %d", code)
			}
			if output, err := io.ReadAll(alive); err != nil || len(output) > 0 {
				t.Errorf("%q, %v", output, err)
			}
		})
	}
}

func TestProcessesOfAServerThatEndedAreKilled(t *testing.T) {
	t.Parallel()
	p := start(t, "forks a session and ends", os.Stderr)
	<-p.Exited()
	if code := p.Stop(); code != 5 {
		t.Errorf("the exit code is %d", code)
	}
}

func TestAllProcessesEndWhenTheGateIsKilled(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"forks", "forks a session", "forever"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			alive, stderr, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer alive.Close()
			gate := exec.Command(os.Args[0], serverMode, "gate", mode)
			gate.Stderr = stderr
			stdout, err := gate.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := gate.Start(); err != nil {
				t.Fatal(err)
			}
			stderr.Close()
			waitReady(t, stdout)
			gate.Process.Kill()
			gate.Wait()
			if output, err := io.ReadAll(alive); err != nil || len(output) > 0 {
				t.Errorf("%q, %v", output, err)
			}
		})
	}
}

func TestServerThatWritesStderrWithoutEnd(t *testing.T) {
	t.Parallel()
	unread, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	p := start(t, "stderr without end", stderr)
	stderr.Close()
	io.ReadFull(unread, make([]byte, 1<<20))
	if code := p.Stop(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("the exit code is %d", code)
	}
}

func TestServerGetsOnlyItsEnvironment(t *testing.T) {
	t.Setenv("CANARY", "of the gate")
	for _, environment := range [][]string{nil, {"A=1", "B=2"}} {
		p, err := child.Start([]string{os.Args[0], serverMode, "environment"}, environment, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(p.Stdout)
		if want := strings.Join(environment, "\n") + "\n"; err != nil || string(got) != want {
			t.Errorf("%v, %q", err, got)
		}
		p.Stop()
		p.Stdout.Close()
	}
}

func TestCommandThatCannotStart(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{nil, {"/does/not/exist", "canary"}, {"no-such-program-anywhere", "canary"}} {
		if _, err := child.Start(command, nil, os.Stderr); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", command, err)
		}
	}
}
