// Package database connects the operator's command to Postgres, and prepares a database: its owner, the services' roles and
// the migrations.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/stores"
)

// Open connects to the database of a URL. The error never contains the URL, because the URL contains a password.
func Open(ctx context.Context, address string) (*sqlx.DB, error) {
	if address == "" {
		return nil, errors.New("DATABASE_URL is not set: give the URL of the database, with a user that may create roles and tables")
	}
	connector, err := pq.NewConnector(address)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not the URL of a Postgres database")
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return db, nil
}

const (
	awaitTime = time.Minute
	awaitPoll = 500 * time.Millisecond
)

// Await is Open for a server that may still be starting. It waits for up to a minute, and writes a line about this to log.
func Await(ctx context.Context, address string, log io.Writer) (*sqlx.DB, error) {
	deadline := time.Now().Add(awaitTime)
	for waiting := false; ; waiting = true {
		db, err := Open(ctx, address)
		if err == nil || !stores.Unavailable(err) || time.Now().After(deadline) {
			return db, err
		}
		if !waiting {
			fmt.Fprintln(log, "waiting for Postgres")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(awaitPoll):
		}
	}
}

var errURL = errors.New("DATABASE_URL must have the form postgres://user:password@host:port/database")

// URLAs returns a database's URL with this user and password instead of its own.
func URLAs(address, user, password string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", errURL
	}
	u.User = url.UserPassword(user, password)
	return u.String(), nil
}
