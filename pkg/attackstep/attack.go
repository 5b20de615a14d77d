//go:build attack

package attackstep

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ATTACK_AT names a step and a signal, for example charged=KILL or burnt=STOP. The first time that a request reaches the step, the
// process sends itself the signal: KILL ends it, STOP freezes it.
func init() {
	step, name, _ := strings.Cut(os.Getenv("ATTACK_AT"), "=")
	signal := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP}[name]
	var once sync.Once
	reached = func(at string) {
		if at != step {
			return
		}
		once.Do(func() {
			_ = syscall.Kill(os.Getpid(), signal)
			time.Sleep(100 * time.Millisecond) // the signal arrives after a moment
		})
	}
}
