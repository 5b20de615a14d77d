package stores

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// connector opens connections to Postgres.
type connector struct{ cfg pq.Config }

func (c connector) Driver() driver.Driver { return pq.Driver{} }

// Connect returns a network error for each failure, because lib/pq returns some of them without a type.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := pq.NewConnectorConfig(c.cfg)
	if err != nil {
		return nil, ErrPostgresURL
	}
	d := &dialer{Dialer: net.Dialer{Timeout: AnswerTimeout}}
	inner.Dialer(d)
	conn, err := inner.Connect(ctx)
	if err != nil {
		return nil, &net.OpError{Op: opConnect, Net: "tcp", Err: err}
	}
	return watch(conn, d.last.Load())
}

// opConnect marks an error of connecting. The operations of package net have other names.
const opConnect = "connect to Postgres"

// dialer dials for one connection, and for the requests to cancel its statements.
type dialer struct {
	net.Dialer
	// last is the connection that was dialed last.
	last atomic.Pointer[deadlineConn]
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &deadlineConn{Conn: conn}
	d.last.Store(c)
	return c, nil
}

// deadlineConn is a connection on which each read and each write must make progress within AnswerTimeout.
//
// It also prevents database/sql from running a statement twice. If the connection ends, lib/pq assumes that it ended before
// the statement was sent, and database/sql sends the statement again. An attempt would be charged twice if the answer to the
// first charge was lost. So Read returns a network error instead of io.EOF, and database/sql does not retry it.
type deadlineConn struct {
	net.Conn
	// sent is the number of writes that have sent something.
	sent atomic.Int64
}

func errClosed(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: errors.New("the store closed the connection")}
}

func (c *deadlineConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(AnswerTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		err = errClosed("read")
	}
	return n, err
}

func (c *deadlineConn) Write(p []byte) (int, error) {
	// The server may have closed the connection while it was idle, for example at a restart. Then nothing is sent, and
	// database/sql runs the statement on another connection.
	if c.closedByServer() {
		return 0, errClosed("write")
	}
	if err := c.SetWriteDeadline(time.Now().Add(AnswerTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.sent.Add(1)
	}
	return n, err
}

// closedByServer reports whether the server has closed the connection. It does not wait and consumes no data.
func (c *deadlineConn) closedByServer() bool {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) { closed = closedByPeer(int(fd)) })
	return closed || err != nil
}
