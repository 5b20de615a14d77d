package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// commandStopsWithin is how long the command may take to end after an interrupt.
const commandStopsWithin = 10 * time.Second

func storesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "stores -- COMMAND [ARGUMENT]...", DisableFlagsInUseLine: true,
		Short: "Run a command with a temporary Postgres and Redis",
		Long: `stores starts a Postgres and a Redis, sets TEST_DATABASE_URL and TEST_REDIS_URL, runs a command, and stops the servers. It
does not start a server whose variable is already set. stores passes the flags after -- to the command, and ends with the
command's exit code.`,
		Example: "  countersign stores -- go test -race ./pkg/pin",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("a command is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runWithStores(cmd.Context(), args) },
	}
	cmd.Flags().SetInterspersed(false) // flags after the command's name belong to that command
	return cmd
}

func runWithStores(ctx context.Context, args []string) (err error) {
	env := os.Environ()
	postgres, redis := os.Getenv("TEST_DATABASE_URL") == "", os.Getenv("TEST_REDIS_URL") == ""
	// Some tests start their own Redis, so its program is always needed.
	if err := localstores.Install(ctx, os.Stderr, postgres, true); err != nil {
		return err
	}
	if postgres {
		s, err := localstores.StartPostgres(ctx, localstores.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		env = append(env, "TEST_DATABASE_URL="+s.URL)
	}
	if redis {
		s, err := localstores.StartRedis(ctx, localstores.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		env = append(env, "TEST_REDIS_URL="+s.URL)
	}
	return runProgram(ctx, args, env)
}

// runProgram runs a program with this process's standard streams. It returns the program's exit code as an error.
func runProgram(ctx context.Context, args, env []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, env
	p, err := child.Start(cmd, syscall.SIGTERM)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		if err := p.Stop(syscall.SIGTERM, commandStopsWithin); err != nil {
			return fmt.Errorf("interrupted: %w", err)
		}
	}
	if code := p.ExitCode(); code != 0 {
		return exitCode(code)
	}
	return nil
}
