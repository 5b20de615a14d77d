package stores

import "golang.org/x/sys/unix"

// closedByPeer reports whether the other side of a socket has closed it. Data that was not read yet does not hide this: before
// Postgres closes a connection, it sends an error message.
func closedByPeer(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}
