package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/services/auth/operator"
)

func adminCommand() *cobra.Command {
	var a admin
	cmd := &cobra.Command{
		Use: "admin --email ADDRESS", Short: "Create an admin, make a user an admin, or remove a user's second factor",
		Long: `admin creates an admin with this address, or makes the user with this address an admin. It also marks the address as confirmed.

Without --password-stdin, a user whose address was already confirmed keeps the password. Every other user gets a random
password, which is printed once. This replaces the password of a user whose address was not confirmed, because a stranger may
have signed up with that address. A new password ends all sessions of the user.

--reset-mfa removes the second factor of a user who lost it, and changes nothing else. After that the password alone is enough to
sign in. First make sure that the request comes from the user.

Settings: DATABASE_URL, with the user that owns the schema.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&a.email, "email", "", "the user's email address (required)")
	cmd.Flags().BoolVar(&a.passwordStdin, "password-stdin", false, "read the new password from the first line of standard input")
	cmd.Flags().BoolVar(&a.resetMFA, "reset-mfa", false, "remove the user's second factor")
	return cmd
}

type admin struct {
	email                   string
	passwordStdin, resetMFA bool
}

func (a admin) run(ctx context.Context, in io.Reader, out io.Writer) error {
	if _, err := directory.ParseEmail(a.email); err != nil {
		return usageError{errors.New("--email must be an email address")}
	}
	if a.resetMFA && a.passwordStdin {
		return usageError{errors.New("--reset-mfa changes no password, so it cannot be used with --password-stdin")}
	}
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	var password secret.Text
	if a.passwordStdin {
		var err error
		if password, err = readPassword(in); err != nil {
			return err
		}
	}
	db, err := database.Open(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	email := strings.ToLower(a.email)
	if a.resetMFA {
		if err := operator.ResetSecondFactor(ctx, db, email); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, email, "signs in with the password alone")
		return err
	}
	generated, err := operator.PutUser(ctx, db, email, operator.Admin, password)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, email, "is an admin")
	if text := generated.Reveal(); text != "" {
		fmt.Fprintln(out, "password, printed only this once:", text)
	}
	return nil
}

func readPassword(in io.Reader) (secret.Text, error) {
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, fmt.Errorf("reading the password: %w", err)
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return secret.Text{}, errors.New("there is no password on standard input")
	}
	return secret.New(password), nil
}
