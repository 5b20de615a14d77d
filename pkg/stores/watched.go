package stores

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/lib/pq"
)

// ErrUnconfirmed means that Postgres has committed a statement, but the wait for the synchronous standby was cancelled. So a
// failover may still lose the commit.
var ErrUnconfirmed = errors.New("the commit was not confirmed by the synchronous standby")

// watchedConn is a connection of lib/pq that corrects two of its answers:
//   - If the wait for the synchronous standby was cancelled, Postgres sends a warning and answers as if the commit was confirmed.
//     watchedConn returns ErrUnconfirmed.
//   - If Postgres ends the connection with an error message, lib/pq assumes that the statement was not sent, and database/sql
//     sends it again. watchedConn returns a network error if the statement was sent, because it may have been committed.
type watchedConn struct {
	pqConn
	socket *deadlineConn
	// warned is true after the warning, until the statement's caller has the error. lib/pq calls notice while it reads the
	// answer to the statement, so no lock is needed.
	warned bool
}

func watch(conn driver.Conn, socket *deadlineConn) (driver.Conn, error) {
	inner, ok := conn.(pqConn)
	if !ok {
		return nil, fmt.Errorf("a connection of type %T cannot be watched", conn)
	}
	watched := &watchedConn{pqConn: inner, socket: socket}
	pq.SetNoticeHandler(conn, watched.notice)
	return watched, nil
}

// notice recognizes the warning by the function of Postgres that sends it: the text depends on the server's language.
func (c *watchedConn) notice(n *pq.Error) {
	if n.Routine == "SyncRepWaitForLSN" {
		c.warned = true
	}
}

// check returns err, or ErrUnconfirmed if there was no error but the warning.
func (c *watchedConn) check(err error) error {
	warned := c.warned
	c.warned = false
	if warned && (err == nil || err == io.EOF) {
		return ErrUnconfirmed
	}
	return err
}

// run runs a statement, and checks its error.
func (c *watchedConn) run(statement func() error) error {
	before := c.socket.sent.Load()
	err := statement()
	if err == driver.ErrBadConn && c.socket.sent.Load() > before {
		return errClosed("read")
	}
	return c.check(err)
}

func (c *watchedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.run(func() error { rows, err = c.pqConn.QueryContext(ctx, query, args); return err })
	return watchedRows{rows, c}, err
}

func (c *watchedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.run(func() error { result, err = c.pqConn.ExecContext(ctx, query, args); return err })
	return result, err
}

func (c *watchedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.pqConn.BeginTx(ctx, options)
	return watchedTx{tx, c}, err
}

func (c *watchedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.pqConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	prepared, ok := stmt.(pqStmt)
	if !ok {
		return nil, fmt.Errorf("a statement of type %T cannot be watched", stmt)
	}
	return watchedStmt{prepared, c}, nil
}

// pqStmt lists the methods of lib/pq's prepared statements.
type pqStmt interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
}

type watchedStmt struct {
	pqStmt
	conn *watchedConn
}

func (s watchedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.conn.run(func() error { rows, err = s.pqStmt.QueryContext(ctx, args); return err })
	return watchedRows{rows, s.conn}, err
}

func (s watchedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	err = s.conn.run(func() error { result, err = s.pqStmt.ExecContext(ctx, args); return err })
	return result, err
}

type watchedTx struct {
	driver.Tx
	conn *watchedConn
}

func (t watchedTx) Commit() error { return t.conn.check(t.Tx.Commit()) }

type watchedRows struct {
	driver.Rows
	conn *watchedConn
}

func (r watchedRows) Next(dest []driver.Value) error { return r.conn.check(r.Rows.Next(dest)) }

func (r watchedRows) Close() error { return r.conn.check(r.Rows.Close()) }
