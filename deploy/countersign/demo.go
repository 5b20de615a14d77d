package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/demo"
	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/pkg/service"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "demo FOLDER", DisableFlagsInUseLine: true,
		Short: "Put demo data into a stack, and print a tour of it",
		Long: `demo makes demo data in a migrated database: an admin, a customer, an agent with three skills, a proxy key and an API key with the scope admin.
Then it prints a tour: commands to paste. It keeps the keys in FOLDER/demo.json, so that the next run uses the same data.

demo uses only an empty database or its own. It refuses every other database and changes nothing there.

Settings: DATABASE_URL, AUTH_URL, PIN_ADMIN_URL, PIN_INTERNAL_URL, DEMO_AGENT (the command in the tour that calls pin-internal;
default: curl), DEMO_PERSON (the command in the tour that approves; default: countersign approve).`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("exactly one folder is needed")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDemo(cmd.Context(), folder.Folder(args[0]), cmd.OutOrStdout())
		},
	}
}

func runDemo(ctx context.Context, kept folder.Folder, out io.Writer) error {
	var cfg struct {
		DatabaseURL    string `envconfig:"DATABASE_URL"`
		AuthURL        string `envconfig:"AUTH_URL"`
		PinAdminURL    string `envconfig:"PIN_ADMIN_URL"`
		PinInternalURL string `envconfig:"PIN_INTERNAL_URL"`
		Agent          string `envconfig:"DEMO_AGENT" default:"curl"`
		Person         string `envconfig:"DEMO_PERSON" default:"countersign approve"`
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	db, err := database.Open(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	d, err := demo.Ensure(ctx, db, kept)
	if err != nil {
		return err
	}
	d.AuthURL, d.PinAdminURL, d.PinInternalURL = cfg.AuthURL, cfg.PinAdminURL, cfg.PinInternalURL
	if err := kept.Write(demo.File, d); err != nil {
		return err
	}
	text, err := demo.Tour(d, demo.Commands{Curl: cfg.Agent, Approve: cfg.Person}, fmt.Sprintf(`Documentation of the APIs: %s/docs and %s/docs; on the private network: %s/docs.
To sign in: %s with the password %s, or %s with the password %s.`,
		d.AuthURL, d.PinAdminURL, d.PinInternalURL, d.AdminEmail, d.AdminPassword, d.CustomerEmail, d.CustomerPassword))
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, text)
	return err
}
