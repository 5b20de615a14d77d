// Package schema defines the database: migrations, which are applied in order and never reverted, and one Postgres role for
// each service. The migrations grant each role its privileges table by table, so that an attacker who controls one service
// cannot use the data of another. Services never migrate. `countersign migrate` and the tests do.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// The tables that record which migrations were applied. The migrations were rewritten before the first release. The new
// migrations reuse the numbers of the old ones, so they are recorded in another table.
const (
	migrationsTable    = "schema_migrations"
	oldMigrationsTable = "goose_db_version"
)

// ErrTooOld says that a version before the first release created the database. Its migrations cannot be continued.
var ErrTooOld = errors.New("a version of Countersign before the first release created this database, and it cannot be migrated: " +
	"create it again (drop the database and create an empty one; after `make run`, delete the folder .local)")

// Migrate applies all pending migrations. If several processes call it at once, one works and the others wait. The service
// roles must exist. It returns ErrTooOld, and changes nothing, if the database is from before the first release.
func Migrate(ctx context.Context, db *sql.DB) error {
	if _, err := Empty(ctx, db); err != nil {
		return err
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// Empty reports whether no migration was ever applied to the database. It returns ErrTooOld if the database is from before
// the first release.
func Empty(ctx context.Context, db *sql.DB) (bool, error) {
	var migrated, old bool
	const q = `select to_regclass($1) is not null, to_regclass($2) is not null`
	if err := db.QueryRowContext(ctx, q, migrationsTable, oldMigrationsTable).Scan(&migrated, &old); err != nil {
		return false, fmt.Errorf("reading which migrations were applied: %w", err)
	}
	if old {
		return false, ErrTooOld
	}
	return !migrated, nil
}

// Pending reports whether a migration of this build is not applied yet. The database must not be empty.
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
		return nil, fmt.Errorf("creating the migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker), goose.WithTableName(migrationsTable))
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return p, nil
}
