//go:build unix && !linux

package child

import (
	"os"
	"syscall"
)

func executable() (string, error) { return os.Executable() }

func serverAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func hideMemory() error { return nil }

func adoptDescendants() error { return nil }

func children() []int { return nil }
