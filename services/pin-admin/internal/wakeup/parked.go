package wakeup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Parked is a request that waits outside of the HTTP server. In there it would keep a grown stack, buffers and all of the
// request, some 35 KiB; out here a connection and a small goroutine remain.
type Parked struct {
	conn net.Conn
	// answer is the whole answer in HTTP/1.1, for a PIN that is set and for a wait that is over.
	answer func(set bool) []byte
	// answered is told how it ended.
	answered func(End)
	once     sync.Once
}

// End is how a wait ended.
type End int

// The ends of a wait.
const (
	Set End = iota
	Unset
	Gone // the client went away
)

// writeTime is how long a client may take to accept its answer.
const writeTime = 5 * time.Second

// Park takes over the connection of a request whose customer has no PIN yet. It is answered when one is set, when patience
// is over, or when the service stops, and then closed. answered is called once for each request, also when Park fails.
func (b *Board) Park(w http.ResponseWriter, customer uuid.UUID, patience time.Duration, answer func(set bool) []byte, answered func(End)) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("taking a waiting connection over: %w", err)
	}
	p := &Parked{conn: conn, answer: answer, answered: answered}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.end(Gone)
		return nil
	}
	if !b.join(customer, p) {
		p.end(Unset)
		return nil
	}
	// What was set before it joined is noticed here; what this look misses, the next one finds.
	if set, _ := b.IsSet(context.Background(), customer); set {
		p.end(Set)
	}
	return nil
}

// watch ends the wait when its time is over or its client is gone. A client that waits sends nothing, so a read ends with
// the one or with the other, or with the answer, which closes the connection.
func (p *Parked) watch() {
	if _, err := p.conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		p.end(Unset)
	}
	p.end(Gone)
}

func (p *Parked) end(how End) {
	p.once.Do(func() {
		defer p.conn.Close()
		if how != Gone {
			err := p.conn.SetWriteDeadline(time.Now().Add(writeTime))
			if err == nil {
				_, err = p.conn.Write(p.answer(how == Set))
			}
			if err != nil {
				how = Gone
			}
		}
		p.answered(how)
	})
}
