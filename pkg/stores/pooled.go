package stores

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// pooledConn is a connection to a pooler in transaction mode. The pooler may send each statement to another server process.
// So no statement stays prepared: a statement that a caller prepares is sent completely each time it runs.
type pooledConn struct{ pqConn }

// pqConn lists the methods of lib/pq's connections.
type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.QueryerContext
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

func (c pooledConn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return unprepared{c, query}, nil
}

type unprepared struct {
	conn  pooledConn
	query string
}

func (s unprepared) Close() error  { return nil }
func (s unprepared) NumInput() int { return -1 } // the server checks the number of arguments

func (s unprepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

func (s unprepared) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

// driver.Stmt requires Query and Exec, but database/sql calls the methods with a context instead.
func (s unprepared) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }
func (s unprepared) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// poolerConnector opens connections that work through a pooler in transaction mode.
type poolerConnector struct{ driver.Connector }

func (p poolerConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	pc, ok := conn.(pqConn)
	if !ok {
		return nil, fmt.Errorf("a connection of type %T cannot be pooled", conn)
	}
	return pooledConn{pc}, nil
}
