// Package stores opens Postgres and Redis. If a store is slow, frozen or unreachable, a request waits for a bounded time and
// then fails.
package stores

import (
	"database/sql"
	"database/sql/driver"
	"errors"
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

// The time limits of a statement, in increasing order: Postgres ends a statement before the service stops to wait for its
// answer. So a statement that the service has given up does not run later. countersign migrate sets the limits of Postgres on
// the services' roles (pkg/schema), so that they also apply through a pooler.
const (
	// LockTimeout is the longest wait for one lock.
	LockTimeout = 2 * time.Second
	// StatementTimeout is the longest time for one statement, without the wait of its commit for a synchronous standby.
	StatementTimeout = 4 * time.Second
	// AnswerTimeout is the longest time for connecting, for one read and for one write. lib/pq itself waits for as long as the
	// kernel does, even after the context has ended.
	AnswerTimeout = 5 * time.Second
	// IdleTimeout is the longest time that a transaction may wait for the next statement of its service. Then Postgres rolls it
	// back, so that a service that was stopped keeps no locks.
	IdleTimeout = 5 * time.Second
)

// ErrPostgresURL says that DATABASE_URL cannot be parsed. It does not contain the URL, because the URL contains a password.
var ErrPostgresURL = errors.New("DATABASE_URL is not a postgres:// URL or connection string")

// OpenPostgres prepares a connection pool. It does not connect, because a service may start before its database. The error is
// ErrPostgresURL if the URL cannot be parsed.
func OpenPostgres(c PostgresConfig) (*sqlx.DB, error) {
	cfg, err := c.parse()
	if err != nil {
		return nil, err
	}
	cfg.ConnectTimeout = AnswerTimeout
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	cfg.Runtime["timezone"] = "UTC"
	cfg.BinaryParameters = c.Pooled // sends a statement and its arguments in one message, so that both reach the same server
	if _, err := pq.NewConnectorConfig(cfg); err != nil {
		return nil, ErrPostgresURL
	}
	var source driver.Connector = connector{cfg}
	if c.Pooled {
		source = poolerConnector{source}
	}
	db := sqlx.NewDb(sql.OpenDB(source), "postgres")
	db.SetMaxOpenConns(c.Connections)
	db.SetMaxIdleConns(c.Connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}
