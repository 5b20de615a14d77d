package wakeup

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
)

// Waiter is one request that waits.
type Waiter struct {
	board    *Board
	customer uuid.UUID
	// board.mu guards these fields. conn is nil until Wait starts.
	conn       net.Conn
	woken, set bool
}

var errDisconnected = errors.New("the client disconnected")

// ErrTooMany means that too many requests wait for one customer at this replica. A place becomes free when one is answered.
var ErrTooMany = fault.New(fault.RateLimited, "too-many-waiting", "Too many requests of this user are waiting").RetryAfter(5 * time.Second)

// Join registers a request that waits for a customer's PIN, or returns ErrTooMany. From now on, Wait does not miss a PIN that is
// set, so the caller checks IsSet after Join. The caller calls Leave after it has answered the request.
func (b *Board) Join(customer uuid.UUID) (*Waiter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &Waiter{board: b, customer: customer, woken: b.closed}
	if b.closed {
		return w, nil
	}
	if len(b.waiting[customer]) >= b.most {
		return nil, ErrTooMany
	}
	if b.waiting[customer] == nil {
		b.waiting[customer] = map[*Waiter]struct{}{}
	}
	b.waiting[customer][w] = struct{}{}
	return w, nil
}

// Leave removes the request from the board.
func (w *Waiter) Leave() {
	b := w.board
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting[w.customer], w)
	if len(b.waiting[w.customer]) == 0 {
		delete(b.waiting, w.customer)
	}
	b.left.Broadcast()
}

// Wait returns true as soon as the customer has a PIN. It returns false after timeout and when the service stops, and an
// error when the client disconnects. conn is the request's connection. Wait only reads from it: a client that waits sends
// nothing, so the read ends when the client disconnects or at the deadline.
func (w *Waiter) Wait(conn net.Conn, timeout time.Duration) (set bool, err error) {
	if err := w.startReading(conn, timeout); err != nil {
		return false, errDisconnected
	}
	_, err = conn.Read(make([]byte, 1))
	w.board.mu.Lock()
	defer w.board.mu.Unlock()
	if !w.woken && !errors.Is(err, os.ErrDeadlineExceeded) {
		return false, errDisconnected
	}
	return w.set, nil
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
func (w *Waiter) wake(set bool) {
	w.woken, w.set = true, w.set || set
	if w.conn != nil {
		_ = w.conn.SetReadDeadline(time.Now()) // fails only on a closed connection, whose read has ended
	}
}
