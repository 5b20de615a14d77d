//go:build attack

package pin

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	stepToFail, how, _ = strings.Cut(os.Getenv("ATTACK_AT"), "=")
	failed             sync.Once
)

// reached kills the process at the step that ATTACK_AT names, as in charged=KILL, or freezes it, as in compared=STOP: the
// first time that it gets there.
func reached(step string) {
	if step != stepToFail {
		return
	}
	failed.Do(func() {
		signal := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP}[how]
		_ = syscall.Kill(os.Getpid(), signal)
		time.Sleep(100 * time.Millisecond) // a signal takes a moment to arrive
	})
}
