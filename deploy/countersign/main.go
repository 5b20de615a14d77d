// Command countersign is the operator's: it runs the local stack, brings a database up to date, and looks after keys and
// admins. The services themselves are programs of their own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

type command struct {
	name, help string
	run        func(ctx context.Context, args []string) error
}

var commands = []command{
	{"up", "run the whole stack on this machine, with demo data", up},
	{"migrate", "bring the database of DATABASE_URL up to date", migrate},
	{"keys", "count what lies under each key; keys new: make one; renew: seal anew what auth keeps; rotate-signing, revoke-signing: those of access tokens", keys},
	{"admin", "create an admin, or make a user one: admin --email ADDRESS; --reset-mfa: take away a user's second factor", admin},
	{"doctor", "look for what is wrong with a deployment, and say how to mend it", doctor},
	{"secrets", "make a stack's secrets, once; secrets append, promote or retire PIN_KEYS or AUTH_KEYS: rotate", secretsCommand},
	{"demo", "put demo data into a stack, and print a tour of it", demoCommand},
	{"kyc", "kyc send: post a KYC vendor's webhook to the local stack, signed; kyc send --help", kycCommand},
	{"ask", "make one HTTP request, as curl would", ask},
	{"stores", "run a command beside a throw-away Postgres and Redis: stores -- COMMAND", storesCommand},
}

// exitCode is the failure of a command that has said for itself what went wrong.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:])
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "countersign:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	for _, c := range commands {
		if len(args) > 0 && args[0] == c.name {
			return c.run(ctx, args[1:])
		}
	}
	fmt.Fprintln(os.Stderr, "usage: countersign COMMAND")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", c.name, c.help)
	}
	return exitCode(2)
}
