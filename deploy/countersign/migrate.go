package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/config"
	"github.com/countersign/countersign/pkg/schema"
)

// migrate makes the service roles and applies the migrations. A role whose password is given may log in with it.
func migrate(ctx context.Context, _ []string) error {
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
		Auth        string `envconfig:"AUTH_DB_PASSWORD"`
		PinAdmin    string `envconfig:"PIN_ADMIN_DB_PASSWORD"`
		PinInternal string `envconfig:"PIN_INTERNAL_DB_PASSWORD"`
	}
	if err := config.Load(&cfg); err != nil {
		return err
	}
	db, err := openDatabase(ctx, cfg.DatabaseURL)
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
