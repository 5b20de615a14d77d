package stores

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// pooled is a connection to a pooler in transaction mode, which may hand each statement to another server. So nothing is
// kept prepared on it: what a caller prepares is sent whole each time it is run.
type pooled struct{ session }

// session is what lib/pq's connections can do.
type session interface {
	driver.Conn
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

func (c pooled) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return unprepared{c, query}, nil
}

type unprepared struct {
	on    pooled
	query string
}

func (s unprepared) Close() error  { return nil }
func (s unprepared) NumInput() int { return -1 } // the server counts

func (s unprepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.on.QueryContext(ctx, s.query, args)
}

func (s unprepared) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.on.ExecContext(ctx, s.query, args)
}

// Query and Exec are of an older database/sql, which asks for them and does not call them.
func (s unprepared) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }
func (s unprepared) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// throughPooler makes connections that can be pooled in transaction mode.
type throughPooler struct{ driver.Connector }

func (p throughPooler) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s, ok := conn.(session)
	if !ok {
		return nil, fmt.Errorf("a %T cannot be pooled", conn)
	}
	return pooled{s}, nil
}
