//go:build !linux

package child

import "syscall"

func tieToParent(*syscall.SysProcAttr, syscall.Signal) {}
