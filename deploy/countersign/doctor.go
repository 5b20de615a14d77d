package main

import (
	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/doctor"
	"github.com/countersign/countersign/pkg/service"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check a deployment, and say how to repair what is wrong",
		Long: `doctor checks a deployment from the machine that it runs on, and changes nothing. It skips the checks whose settings are not
set. With PIN_INTERNAL_URL, it checks that pin-internal does not answer: run it on a network that must not reach pin-internal.

Exit codes:
  0  nothing is wrong; there may be advice and skipped checks
  1  a check found something wrong
  2  usage error

Settings: DATABASE_URL (with the user that owns the schema), REDIS_URL, AUTH_DB_PASSWORD, PIN_ADMIN_DB_PASSWORD,
PIN_INTERNAL_DB_PASSWORD, AUTH_REDIS_PASSWORD, PIN_ADMIN_REDIS_PASSWORD, PIN_INTERNAL_REDIS_PASSWORD, PIN_KEYS, AUTH_KEYS,
PIN_INTERNAL_URL, OPS_URLS, and the RETENTION_… settings of auth and pin-admin.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg doctor.Config
			if err := service.Load(&cfg); err != nil {
				return err
			}
			report := doctor.Examine(cmd.Context(), cfg)
			report.Print(cmd.OutOrStdout())
			if report.Wrong() > 0 {
				return exitCode(exitFailed)
			}
			return nil
		},
	}
}
