//go:build !linux

package stores

import (
	"errors"
	"syscall"
)

// closedByPeer reports whether the other side of a socket has closed it, unless there is data that was not read yet.
func closedByPeer(fd int) bool {
	n, _, err := syscall.Recvfrom(fd, make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n == 0 || errors.Is(err, syscall.ECONNRESET)
}
