package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/local"
)

func upCommand() *cobra.Command {
	return &cobra.Command{
		Use: "up", Short: "Run the whole stack on this machine, with demo data",
		Long: `up is what make run starts. It runs a private Postgres and Redis and the three services, until Ctrl-C. It makes demo data and
prints a tour: commands to paste. It keeps everything in the folder .local, where it expects the services' programs in bin.

Settings: PORT_BASE (8080): services at +1 to +3, their operations ports at +1001 to +1003. DATABASE_URL and REDIS_URL select
servers that you already have: the database must be empty or the demo's own.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := local.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // interrupted while it was starting
			}
			return err
		},
	}
}
