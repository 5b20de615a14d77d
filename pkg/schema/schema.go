// Package schema holds the database's shape: ordered, forward-only migrations, and one Postgres role for each service,
// granted table by table, so that a break-in at one service does not open what belongs to another. Services never
// migrate; `countersign migrate` and the tests do.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// The Postgres roles of the three services.
const (
	RoleAuth        = "countersign_auth"
	RolePinAdmin    = "countersign_pin_admin"
	RolePinInternal = "countersign_pin_internal"
)

// Roles are all service roles, in the order in which the services start.
var Roles = []string{RoleAuth, RolePinAdmin, RolePinInternal}

// EnsureRoles creates the service roles that are missing and, for those named in passwords, allows them to log in with
// that password. Roles belong to the server and not to one database, so this is no migration. The connection needs
// CREATEROLE.
func EnsureRoles(ctx context.Context, db *sql.DB, passwords map[string]string) error {
	for _, role := range Roles {
		_, err := db.ExecContext(ctx, `create role `+pq.QuoteIdentifier(role))
		var e *pq.Error
		// unique_violation is what a server answers when two sessions create the same role at the same moment.
		if err != nil && !(errors.As(err, &e) && (e.Code == "42710" || e.Code == "23505")) {
			return fmt.Errorf("creating role %s: %w", role, err)
		}
		if password, ok := passwords[role]; ok {
			if _, err := db.ExecContext(ctx, `alter role `+pq.QuoteIdentifier(role)+` login password `+pq.QuoteLiteral(password)); err != nil {
				return fmt.Errorf("giving role %s its password: %w", role, err)
			}
		}
	}
	return nil
}

// Migrate brings the database up to the newest migration. Several may call it at once: one works, the others wait. The
// service roles must exist.
func Migrate(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// Pending reports whether the database lacks a migration that this build knows.
func Pending(ctx context.Context, db *sql.DB) (bool, error) {
	p, err := provider(db)
	if err != nil {
		return false, err
	}
	pending, err := p.HasPending(ctx)
	if err != nil {
		return false, fmt.Errorf("comparing migrations: %w", err)
	}
	return pending, nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("making the migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return p, nil
}
