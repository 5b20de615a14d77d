package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

const commandStopsWithin = 10 * time.Second

// storesCommand runs a command with TEST_DATABASE_URL and TEST_REDIS_URL set to servers that live as long as it does, unless
// they are set already. It ends as the command ends.
func storesCommand(ctx context.Context, args []string) (err error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("stores: which command? stores -- COMMAND")
	}
	env := os.Environ()
	postgres, redis := os.Getenv("TEST_DATABASE_URL") == "", os.Getenv("TEST_REDIS_URL") == ""
	// Some tests start a Redis of their own, so its binary is needed in any case.
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
	return runCommand(ctx, args, env)
}

func runCommand(ctx context.Context, args, env []string) error {
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
