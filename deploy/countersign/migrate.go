package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/stores"
)

const (
	// migrateWaits is how long a migration waits for a Postgres that is still coming.
	migrateWaits = time.Minute
	migratePoll  = 500 * time.Millisecond
)

// migrate makes the service roles and applies the migrations. A role whose password is given may log in with it. Given a
// superuser too, it first makes DATABASE_URL's user, who owns the schema, and DATABASE_URL's database.
func migrate(ctx context.Context, _ []string) error {
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
		Superuser   string `envconfig:"SUPERUSER_DATABASE_URL"`
		Auth        string `envconfig:"AUTH_DB_PASSWORD"`
		PinAdmin    string `envconfig:"PIN_ADMIN_DB_PASSWORD"`
		PinInternal string `envconfig:"PIN_INTERNAL_DB_PASSWORD"`
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	if cfg.Superuser != "" {
		if err := ensureOwner(ctx, cfg.Superuser, cfg.DatabaseURL); err != nil {
			return err
		}
	}
	db, err := awaitDatabase(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	passwords := map[string]string{}
	for role, password := range map[string]string{
		schema.RoleAuth: cfg.Auth, schema.RolePinAdmin: cfg.PinAdmin, schema.RolePinInternal: cfg.PinInternal,
	} {
		if password != "" {
			passwords[role] = password
		}
	}
	return prepareDatabase(ctx, db, passwords)
}

func prepareDatabase(ctx context.Context, db *sql.DB, passwords map[string]string) error {
	if err := schema.EnsureRoles(ctx, db, passwords); err != nil {
		return err
	}
	return schema.Migrate(ctx, db)
}

// ensureOwner makes the user and the database that an address names. The user may create roles, and is no superuser.
func ensureOwner(ctx context.Context, superuser, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.User.Username() == "" || strings.Trim(u.Path, "/") == "" {
		return errors.New("DATABASE_URL: want the form postgres://user:password@host:port/database")
	}
	db, err := awaitDatabase(ctx, superuser)
	if err != nil {
		return err
	}
	defer db.Close()
	owner := pq.QuoteIdentifier(u.User.Username())
	if err := unlessThere(ctx, db, `create role `+owner); err != nil {
		return fmt.Errorf("creating the schema's owner: %w", err)
	}
	password, _ := u.User.Password()
	if _, err := db.ExecContext(ctx, `alter role `+owner+` login createrole password `+pq.QuoteLiteral(password)); err != nil {
		return fmt.Errorf("giving the schema's owner its password: %w", err)
	}
	if err := unlessThere(ctx, db, `create database `+pq.QuoteIdentifier(strings.Trim(u.Path, "/"))+` owner `+owner); err != nil {
		return fmt.Errorf("creating the database: %w", err)
	}
	return nil
}

// unlessThere creates a role or a database; that it is there already is no error.
func unlessThere(ctx context.Context, db *sql.DB, create string) error {
	_, err := db.ExecContext(ctx, create)
	var e *pq.Error
	if errors.As(err, &e) && (e.Code == "42710" || e.Code == "42P04") { // duplicate_object, duplicate_database
		return nil
	}
	return err
}

// awaitDatabase connects as the operator, to a server that may still be on its way.
func awaitDatabase(ctx context.Context, address string) (*sql.DB, error) {
	deadline := time.Now().Add(migrateWaits)
	for said := false; ; said = true {
		db, err := openDatabase(ctx, address)
		if err == nil || !stores.Unavailable(err) || time.Now().After(deadline) {
			return db, err
		}
		if !said {
			fmt.Fprintln(os.Stderr, "waiting for Postgres")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(migratePoll):
		}
	}
}

// openDatabase connects as the operator.
func openDatabase(ctx context.Context, address string) (*sql.DB, error) {
	if address == "" {
		return nil, errors.New("DATABASE_URL is not set: the database's URL, with a user that may create roles and tables")
	}
	connector, err := pq.NewConnector(address)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not the URL of a Postgres") // the cause repeats the URL, password and all
	}
	db := sql.OpenDB(connector)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return db, nil
}
