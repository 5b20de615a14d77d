package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jmoiron/sqlx"
	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/keys"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/services/auth/operator"
)

type keysConfig struct {
	DatabaseURL string `envconfig:"DATABASE_URL"`
	AuthKeys    string `envconfig:"AUTH_KEYS"`
	PinKeys     string `envconfig:"PIN_KEYS"`
}

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Count the values that are stored under each key; make and replace keys",
		Long: `keys counts the values that are stored under each key of PIN_KEYS and AUTH_KEYS. Remove a key only when nothing is stored
under it.

Settings: DATABASE_URL, with the user that owns the schema.`,
		Args: noArguments,
		RunE: changeKeys(func(context.Context, *sqlx.DB, keysConfig) error { return nil }),
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "new", Short: "Print a new random key for PIN_KEYS or AUTH_KEYS", Args: noArguments,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), keys.New())
				return err
			},
		},
		&cobra.Command{
			Use: "renew", Short: "Move all sealed values to the current keys of AUTH_KEYS and PIN_KEYS",
			Long: `renew opens every sealed value and seals it again under the current key of its keyring: AUTH_KEYS for the values of auth, PIN_KEYS
for receipt keys and phrases. The services may run at the same time. If only one keyring is set, only its values are renewed.
renew does not change PINs: a PIN moves to the current key of PIN_KEYS when its holder types it. It does not change approvals
either: an approval needs its key until it ends.

Settings: DATABASE_URL, AUTH_KEYS, PIN_KEYS.`,
			Args: noArguments,
			RunE: changeKeys(renew),
		},
		&cobra.Command{
			Use: "rotate-signing", Short: "Replace the key that signs access tokens, within 15 minutes",
			Long: `After rotate-signing, the current keys sign access tokens for 15 more minutes. auth makes a new key within a minute, publishes
it for 10 minutes, and then signs with it. Issued access tokens stay valid.

Settings: DATABASE_URL.`,
			Args: noArguments,
			RunE: changeKeys(func(ctx context.Context, db *sqlx.DB, _ keysConfig) error { return operator.RotateSigningKeys(ctx, db) }),
		},
		&cobra.Command{
			Use: "revoke-signing", Short: "Delete the keys that sign access tokens, if one was stolen",
			Long: `revoke-signing deletes the keys that sign access tokens. Within 5 minutes every issued access token is refused. auth makes a
new key at the next sign-in or refresh.

Settings: DATABASE_URL.`,
			Args: noArguments,
			RunE: changeKeys(func(ctx context.Context, db *sqlx.DB, _ keysConfig) error { return operator.RevokeSigningKeys(ctx, db) }),
		},
		&cobra.Command{
			Use: "rotate-receipts", Short: "Replace the key that signs receipts, within 15 minutes",
			Long: `After rotate-receipts, the current keys sign receipts for 15 more minutes. pin-admin makes a new key within a minute, publishes
it for 10 minutes, and then pin-internal signs with it. Issued receipts stay valid.

Settings: DATABASE_URL.`,
			Args: noArguments,
			RunE: changeKeys(func(ctx context.Context, db *sqlx.DB, _ keysConfig) error { return signing.Receipts.Rotate(ctx, db) }),
		},
		&cobra.Command{
			Use: "revoke-receipts", Short: "Delete the keys that sign receipts, if one was stolen",
			Long: `revoke-receipts deletes the keys that sign receipts. Tool servers refuse every issued receipt as soon as they have read the public
keys again: within 5 minutes, if they keep them no longer than the answer allows. The next receipt gets a new key.

Settings: DATABASE_URL.`,
			Args: noArguments,
			RunE: changeKeys(func(ctx context.Context, db *sqlx.DB, _ keysConfig) error { return signing.Receipts.Revoke(ctx, db) }),
		},
	)
	return cmd
}

// renew renews the values of each keyring that is set.
func renew(ctx context.Context, db *sqlx.DB, c keysConfig) error {
	if c.AuthKeys == "" && c.PinKeys == "" {
		return errors.New("neither AUTH_KEYS nor PIN_KEYS is set")
	}
	for _, ring := range []struct {
		name, text string
		renew      func(context.Context, *sqlx.DB, *keyring.Ring) error
	}{{keys.Auth, c.AuthKeys, operator.RenewSeals}, {keys.PIN, c.PinKeys, keys.RenewPIN}} {
		if ring.text == "" {
			continue
		}
		parsed, err := keyring.ParseSetting(ring.name, ring.text)
		if err != nil {
			return err
		}
		if err := ring.renew(ctx, db, parsed); err != nil {
			return err
		}
	}
	return nil
}

// changeKeys returns a RunE that calls change with the database and then prints the counts of all keys.
func changeKeys(change func(context.Context, *sqlx.DB, keysConfig) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		var cfg keysConfig
		if err := service.Load(&cfg); err != nil {
			return err
		}
		db, err := database.Open(cmd.Context(), cfg.DatabaseURL)
		if err != nil {
			return err
		}
		defer db.Close()
		if err := change(cmd.Context(), db, cfg); err != nil {
			return err
		}
		return printCounts(cmd.Context(), db, cmd.OutOrStdout())
	}
}

func printCounts(ctx context.Context, db *sqlx.DB, out io.Writer) error {
	counts, err := keys.CountAll(ctx, db)
	if err != nil {
		return err
	}
	return keys.Print(out, counts)
}
