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
		Long: `up runs a private Postgres and Redis and the three services until Ctrl-C. It makes demo data and prints a tour: commands to
paste. It keeps everything in the folder .local, and starts the programs of the services in .local/bin. make run builds these
programs and then runs up.

Settings: PORT_BASE (default 8080): the services use the ports base+1 to base+3, their operations ports are base+1001 to
base+1003. DATABASE_URL and REDIS_URL: servers to use instead of private ones; the database must be empty or the demo's own.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := local.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // interrupted during the start
			}
			return err
		},
	}
}
