package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/schema"
)

// Passwords are the passwords of the services' Postgres roles. If a password is empty, its role keeps the old one.
type Passwords struct{ Auth, PinAdmin, PinInternal string }

// ByRole returns the passwords that are not empty, by the name of the role.
func (p Passwords) ByRole() map[string]string {
	passwords := map[string]string{schema.RoleAuth: p.Auth, schema.RolePinAdmin: p.PinAdmin, schema.RolePinInternal: p.PinInternal}
	for role, password := range passwords {
		if password == "" {
			delete(passwords, role)
		}
	}
	return passwords
}

// Prepare creates the services' roles that are missing, sets their passwords and limits, and applies the migrations. connections
// is the largest number of connections of each role, or 0 for the default of schema.EnsureRoles.
func Prepare(ctx context.Context, db *sqlx.DB, passwords Passwords, connections int) error {
	if err := schema.EnsureRoles(ctx, db.DB, passwords.ByRole(), connections); err != nil {
		return err
	}
	return schema.Migrate(ctx, db.DB)
}

// EnsureOwner connects as a superuser and creates the user and the database of an address if they are missing. The user gets
// the password of the address, owns the database, and may create roles, but is not a superuser.
func EnsureOwner(ctx context.Context, superuser, address string, log io.Writer) error {
	u, err := url.Parse(address)
	if err != nil || u.User.Username() == "" || strings.Trim(u.Path, "/") == "" {
		return errURL
	}
	db, err := Await(ctx, superuser, log)
	if err != nil {
		return err
	}
	defer db.Close()
	owner := pq.QuoteIdentifier(u.User.Username())
	if err := create(ctx, db, `create role `+owner); err != nil {
		return fmt.Errorf("creating the owner of the database: %w", err)
	}
	password, _ := u.User.Password()
	if _, err := db.ExecContext(ctx, `alter role `+owner+` login createrole password `+pq.QuoteLiteral(password)); err != nil {
		return fmt.Errorf("setting the password of the database's owner: %w", err)
	}
	if err := create(ctx, db, `create database `+pq.QuoteIdentifier(strings.Trim(u.Path, "/"))+` owner `+owner); err != nil {
		return fmt.Errorf("creating the database: %w", err)
	}
	return nil
}

// Create creates a database on a server unless it exists, and returns its URL.
func Create(ctx context.Context, server, name string) (string, error) {
	db, err := Open(ctx, server)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if err := create(ctx, db, `create database `+pq.QuoteIdentifier(name)); err != nil {
		return "", fmt.Errorf("creating the database: %w", err)
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("reading the server's URL: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// create runs a statement that creates a role or a database. It does nothing when the role or the database exists.
func create(ctx context.Context, db *sqlx.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)
	var e *pq.Error
	if errors.As(err, &e) && (e.Code == "42710" || e.Code == "42P04") { // duplicate_object, duplicate_database
		return nil
	}
	return err
}
