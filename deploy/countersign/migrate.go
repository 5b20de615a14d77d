package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/pkg/service"
)

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Apply the migrations to a database",
		Long: `migrate creates the Postgres roles of the services and applies the migrations to the database of DATABASE_URL. It
sets the limits of each role, and the password of each role whose password is in the settings. It waits up to a minute for
Postgres.

With SUPERUSER_DATABASE_URL it first creates the user and the database of DATABASE_URL if they are missing.

Settings: DATABASE_URL (with the user that owns the schema), SUPERUSER_DATABASE_URL, AUTH_DB_PASSWORD, PIN_ADMIN_DB_PASSWORD,
PIN_INTERNAL_DB_PASSWORD, DATABASE_ROLE_CONNECTIONS.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return migrate(cmd.Context(), cmd.ErrOrStderr()) },
	}
}

func migrate(ctx context.Context, log io.Writer) error {
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
		Superuser   string `envconfig:"SUPERUSER_DATABASE_URL"`
		Auth        string `envconfig:"AUTH_DB_PASSWORD"`
		PinAdmin    string `envconfig:"PIN_ADMIN_DB_PASSWORD"`
		PinInternal string `envconfig:"PIN_INTERNAL_DB_PASSWORD"`
		Connections int    `envconfig:"DATABASE_ROLE_CONNECTIONS" default:"0"`
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	if cfg.Connections < 0 {
		return errors.New("DATABASE_ROLE_CONNECTIONS must be 0 or more")
	}
	if cfg.Superuser != "" {
		if err := database.EnsureOwner(ctx, cfg.Superuser, cfg.DatabaseURL, log); err != nil {
			return err
		}
	}
	db, err := database.Await(ctx, cfg.DatabaseURL, log)
	if err != nil {
		return err
	}
	defer db.Close()
	return database.Prepare(ctx, db, database.Passwords{Auth: cfg.Auth, PinAdmin: cfg.PinAdmin, PinInternal: cfg.PinInternal}, cfg.Connections)
}
