// Package stores opens Postgres and Redis so that a store which is slow, frozen or gone costs a bounded time and never
// hangs a request.
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
	// URL is a postgres:// URL or a libpq connection string. It holds a password.
	URL string `envconfig:"DATABASE_URL"`
	// Connections is the most that one process opens.
	Connections int `envconfig:"DATABASE_CONNECTIONS" default:"20"`
	// Pooled says that the URL is that of a pooler in transaction mode, as pgbouncer. A statement is then parsed and planned
	// each time it is run.
	Pooled bool `envconfig:"DATABASE_POOLED" default:"false"`
}

// silence is how long Postgres may keep us waiting on one read or write before its connection counts as dead. lib/pq
// itself waits for as long as the kernel does, even after the context has ended.
const silence = 5 * time.Second

// ErrPostgresURL says that DATABASE_URL cannot be read. It never repeats it.
var ErrPostgresURL = errors.New("DATABASE_URL is not a postgres:// URL or connection string")

// OpenPostgres prepares a pool. It does not connect: a service starts while its database is still coming.
func OpenPostgres(c PostgresConfig) (*sqlx.DB, error) {
	if c.URL == "" {
		return nil, errors.New("DATABASE_URL is not set")
	}
	cfg, err := pq.NewConfig(c.URL)
	if err != nil {
		return nil, ErrPostgresURL // the cause may quote the password
	}
	cfg.ConnectTimeout = silence
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	cfg.Runtime["timezone"] = "UTC"
	cfg.BinaryParameters = c.Pooled // a statement and its arguments are one message then, and so reach one server
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, ErrPostgresURL
	}
	connector.Dialer(dialer{net.Dialer{Timeout: silence}})
	var source driver.Connector = away{connector}
	if c.Pooled {
		source = throughPooler{source}
	}
	db := sqlx.NewDb(sql.OpenDB(source), "postgres")
	db.SetMaxOpenConns(c.Connections)
	db.SetMaxIdleConns(c.Connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

// Away reports whether an error means that Postgres could not be reached or could not serve, and not that a statement
// was wrong.
func Away(err error) bool {
	var pgErr *pq.Error
	if errors.As(err, &pgErr) {
		switch pgErr.Code.Class() {
		case "08", "40", "53", "57", "58": // connection, deadlock, resources (also a full disk), operator intervention, system error
			return true
		}
		return pgErr.Code == "25006" // a standby that has not been promoted yet
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || strings.HasSuffix(fmt.Sprint(err), "EOF")
}

// away makes every failure to connect one of the network: lib/pq hides some.
type away struct{ driver.Connector }

func (a away) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := a.Connector.Connect(ctx)
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
	return impatient{conn}, nil
}

// impatient is a connection on which each single read and write must make progress within silence. It also keeps
// database/sql from running a statement a second time: lib/pq takes an end of the connection for one that was there
// before the statement was sent, and a charge whose answer got lost would be spent twice.
type impatient struct{ net.Conn }

func hungUp(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: errors.New("the database closed the connection")}
}

func (c impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		err = hungUp("read")
	}
	return n, err
}

func (c impatient) Write(p []byte) (int, error) {
	// Closed while it was idle, as by a restart: nothing was sent, so the statement may run on another connection.
	if c.ended() {
		return 0, hungUp("write")
	}
	if err := c.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ended looks whether the end of the connection has arrived, without waiting or reading.
func (c impatient) ended() bool {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ended = err == nil && n == 0 || errors.Is(err, syscall.ECONNRESET)
	})
	return ended || err != nil
}
