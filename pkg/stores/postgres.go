// Package stores opens Postgres and Redis. If a store is slow, frozen or unreachable, a request waits for a bounded time and
// then fails.
package stores

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// PostgresConfig is the part of a service's configuration that concerns Postgres.
type PostgresConfig struct {
	// URL is a postgres:// URL or a libpq connection string. It contains a password.
	URL string `envconfig:"DATABASE_URL"`
	// Connections is the largest number of connections that one process opens.
	Connections int `envconfig:"DATABASE_CONNECTIONS" default:"20"`
	// Pooled is true if the URL leads to a pooler in transaction mode, for example pgbouncer. Postgres then parses and plans
	// a statement each time it runs.
	Pooled bool `envconfig:"DATABASE_POOLED" default:"false"`
}

// Validate returns an error that names every wrong setting. The error contains no value.
func (c PostgresConfig) Validate() error {
	_, err := c.parse()
	if c.Connections < 1 {
		err = errors.Join(err, errors.New("DATABASE_CONNECTIONS must be at least 1"))
	}
	return err
}

func (c PostgresConfig) parse() (pq.Config, error) {
	if c.URL == "" {
		return pq.Config{}, errors.New("DATABASE_URL is not set")
	}
	cfg, err := pq.NewConfig(c.URL)
	if err != nil {
		return pq.Config{}, ErrPostgresURL // the cause may contain the password
	}
	return cfg, nil
}

// ioTimeout is the longest time for connecting, for one read and for one write. lib/pq itself waits for as long as the kernel
// does, even after the context has ended.
const ioTimeout = 5 * time.Second

// ErrPostgresURL says that DATABASE_URL cannot be parsed. It does not contain the URL, because the URL contains a password.
var ErrPostgresURL = errors.New("DATABASE_URL is not a postgres:// URL or connection string")

// OpenPostgres prepares a connection pool. It does not connect, because a service may start before its database. The error is
// ErrPostgresURL if the URL cannot be parsed.
func OpenPostgres(c PostgresConfig) (*sqlx.DB, error) {
	cfg, err := c.parse()
	if err != nil {
		return nil, err
	}
	cfg.ConnectTimeout = ioTimeout
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	cfg.Runtime["timezone"] = "UTC"
	cfg.BinaryParameters = c.Pooled // sends a statement and its arguments in one message, so that both reach the same server
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, ErrPostgresURL
	}
	connector.Dialer(dialer{net.Dialer{Timeout: ioTimeout}})
	var source driver.Connector = connectErrors{connector}
	if c.Pooled {
		source = poolerConnector{source}
	}
	db := sqlx.NewDb(sql.OpenDB(source), "postgres")
	db.SetMaxOpenConns(c.Connections)
	db.SetMaxIdleConns(c.Connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

// Unavailable reports whether an error means that Postgres is unreachable or cannot answer now. It returns false for a
// wrong statement.
func Unavailable(err error) bool {
	var pgErr *pq.Error
	if errors.As(err, &pgErr) {
		switch pgErr.Code.Class() {
		case "08", "40", "53", "57", "58": // connection, deadlock, resources (including a full disk), shutdown, system error
			return true
		}
		return pgErr.Code == "25006" // read_only_sql_transaction: a standby that is not promoted yet
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || strings.HasSuffix(fmt.Sprint(err), "EOF")
}

// connectErrors turns each error of connecting into a network error, because lib/pq returns some of them without a type.
type connectErrors struct{ driver.Connector }

func (c connectErrors) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, &net.OpError{Op: "connect", Net: "tcp", Err: err}
	}
	return conn, nil
}

type dialer struct{ net.Dialer }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return deadlineConn{conn}, nil
}

// deadlineConn is a connection on which each read and each write must make progress within ioTimeout.
//
// It also prevents database/sql from running a statement twice. If the connection ends, lib/pq assumes that it ended before
// the statement was sent, and database/sql sends the statement again. An attempt would be charged twice if the answer to the
// first charge was lost. So Read returns a network error instead of io.EOF, and database/sql does not retry it.
type deadlineConn struct{ net.Conn }

func errClosed(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: errors.New("the database closed the connection")}
}

func (c deadlineConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(ioTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		err = errClosed("read")
	}
	return n, err
}

func (c deadlineConn) Write(p []byte) (int, error) {
	// The server may have closed the connection while it was idle, for example at a restart. Then nothing is sent, and
	// database/sql runs the statement on another connection.
	if c.closedByServer() {
		return 0, errClosed("write")
	}
	if err := c.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// closedByServer reports whether the server has closed the connection. It does not wait and consumes no data.
func (c deadlineConn) closedByServer() bool {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = err == nil && n == 0 || errors.Is(err, syscall.ECONNRESET)
	})
	return closed || err != nil
}
