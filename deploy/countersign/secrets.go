package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/secrets"
	"github.com/countersign/countersign/pkg/service"
)

type secretsConfig struct {
	secrets.Config
	DatabaseURL string `envconfig:"DATABASE_URL"`
}

func secretsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secrets", Short: "Make the missing secrets of a stack of containers; replace keys",
		Long: `secrets makes the missing passwords and keyrings of a stack of containers. It keeps all of them in kept/secrets.json in
SECRETS_DIR, and gives each container a folder with copies of the secrets that it needs. It never prints a secret.

To replace a key:
  1. run append, and restart the services that use the keyring
  2. run promote, and restart them
  3. run countersign keys renew
  4. wait until countersign keys counts nothing under the old key
  5. run retire, and restart them

Settings: SECRETS_DIR, POSTGRES_ADDRESS, REDIS_ADDRESS.`,
		Args: noArguments,
		RunE: withStack(func(_ *cobra.Command, _ string, s *secrets.Stack, _ secretsConfig) error { return s.Make() }),
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "import", Short: "Read the secrets of another stack from standard input", Args: noArguments,
			Long: `import reads the kept/secrets.json of another stack from standard input, for example to restore a backup. It fails if this stack
already has secrets.`,
			RunE: withStack(func(cmd *cobra.Command, _ string, s *secrets.Stack, _ secretsConfig) error {
				return s.Import(cmd.InOrStdin())
			}),
		},
		ringCommand("append", "Add a new key to the end of a keyring",
			func(cmd *cobra.Command, ring string, s *secrets.Stack, _ secretsConfig) error {
				return s.Append(ring, cmd.OutOrStdout())
			}),
		ringCommand("promote", "Make the last key of a keyring the current key",
			func(cmd *cobra.Command, ring string, s *secrets.Stack, _ secretsConfig) error {
				return s.Promote(ring, cmd.OutOrStdout())
			}),
		ringCommand("retire", "Remove the old keys of a keyring that no value in the database uses (needs DATABASE_URL)",
			func(cmd *cobra.Command, ring string, s *secrets.Stack, c secretsConfig) error {
				return s.Retire(cmd.Context(), ring, c.DatabaseURL, cmd.OutOrStdout())
			}),
	)
	return cmd
}

type stackFunc func(cmd *cobra.Command, ring string, s *secrets.Stack, c secretsConfig) error

// ringCommand returns a command whose argument is the name of a keyring.
func ringCommand(name, short string, do stackFunc) *cobra.Command {
	rings := []string{"PIN_KEYS", "AUTH_KEYS"}
	return &cobra.Command{
		Use: name + " PIN_KEYS|AUTH_KEYS", Short: short, ValidArgs: rings,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("exactly one keyring is needed: PIN_KEYS or AUTH_KEYS")
			}
			if !slices.Contains(rings, args[0]) {
				return fmt.Errorf("unknown keyring %q: %w", args[0], secrets.ErrRing)
			}
			return nil
		},
		RunE: withStack(do),
	}
}

// withStack returns a RunE that opens the secrets of the stack and calls do. ring is the command's argument, if it has one.
func withStack(do stackFunc) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		var cfg secretsConfig
		if err := service.Load(&cfg); err != nil {
			return err
		}
		stack, err := secrets.Open(cfg.Config)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stack.Close()) }()
		ring := ""
		if len(args) > 0 {
			ring = args[0]
		}
		return do(cmd, ring, stack, cfg)
	}
}
