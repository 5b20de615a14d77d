package child_test

import (
	"os"
	"syscall"
	"testing"
)

// A process that is not dumpable has a memory and an environment that other processes of the same user cannot read. Root can.
func TestServerCannotReadTheMemoryOfTheGate(t *testing.T) {
	t.Parallel()
	p := start(t, "until EOF", os.Stderr)
	defer p.Stop()
	if dumpable, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0); dumpable != 0 || errno != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, errno)
	}
}
