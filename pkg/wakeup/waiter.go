package wakeup

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/google/uuid"
)

// Waiter is one request that waits.
type Waiter struct {
	board     *Board
	id, group uuid.UUID
	// board.mu guards these fields. conn is nil until Wait starts.
	conn         net.Conn
	woken, ended bool
}

var errDisconnected = errors.New("the client disconnected")

// ErrTooMany means that too many requests wait at this replica. A place becomes free when one is answered. A service turns this
// error into its own failure.
var ErrTooMany = errors.New("too many requests wait")

// Join registers a request that waits for a thing, or returns ErrTooMany. group is whatever Limits.PerGroup limits. From now on,
// Wait does not miss a change, so the caller checks Ended after Join. The caller calls Leave after it has answered the request.
func (b *Board) Join(id, group uuid.UUID) (*Waiter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &Waiter{board: b, id: id, group: group, woken: b.closed}
	if b.closed {
		return w, nil
	}
	if full(len(b.waiting[id]), b.limits.PerID) || full(b.groups[group], b.limits.PerGroup) {
		return nil, ErrTooMany
	}
	if b.waiting[id] == nil {
		b.waiting[id] = map[*Waiter]struct{}{}
	}
	b.waiting[id][w] = struct{}{}
	b.groups[group]++
	return w, nil
}

func full(n, limit int) bool { return limit > 0 && n >= limit }

// Leave removes the request from the board. A second call does nothing.
func (w *Waiter) Leave() {
	b := w.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, waits := b.waiting[w.id][w]; !waits {
		return
	}
	delete(b.waiting[w.id], w)
	if len(b.waiting[w.id]) == 0 {
		delete(b.waiting, w.id)
	}
	if b.groups[w.group]--; b.groups[w.group] == 0 {
		delete(b.groups, w.group)
	}
	b.left.Broadcast()
}

// Wait returns true as soon as the wait for the thing is over. It returns false after timeout and when the service stops, and an
// error when the client disconnects. conn is the request's connection. Wait only reads from it: a client that waits sends
// nothing, so the read ends when the client disconnects or at the deadline.
func (w *Waiter) Wait(conn net.Conn, timeout time.Duration) (ended bool, err error) {
	if err := w.startReading(conn, timeout); err != nil {
		return false, errDisconnected
	}
	_, err = conn.Read(make([]byte, 1))
	w.board.mu.Lock()
	defer w.board.mu.Unlock()
	if !w.woken && !errors.Is(err, os.ErrDeadlineExceeded) {
		return false, errDisconnected
	}
	return w.ended, nil
}

func (w *Waiter) startReading(conn net.Conn, timeout time.Duration) error {
	w.board.mu.Lock()
	defer w.board.mu.Unlock()
	w.conn = conn
	if w.woken {
		timeout = 0
	}
	return conn.SetReadDeadline(time.Now().Add(timeout))
}

// wake ends Wait. The caller holds board.mu.
func (w *Waiter) wake(ended bool) {
	w.woken, w.ended = true, w.ended || ended
	if w.conn != nil {
		_ = w.conn.SetReadDeadline(time.Now()) // fails only on a closed connection, whose read has ended
	}
}
