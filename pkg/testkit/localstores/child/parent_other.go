//go:build !linux

package child

import "syscall"

func setOrphanSignal(*syscall.SysProcAttr, syscall.Signal) {}
