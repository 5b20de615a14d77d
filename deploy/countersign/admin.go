package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/slowhash"
)

// admin creates a confirmed admin, or makes a user one. Somebody who has an account keeps the password, unless another
// one is given; that ends every session of theirs. admin --reset-mfa takes a user's second factor away, and nothing else.
func admin(ctx context.Context, args []string) error {
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
	}
	flags := flag.NewFlagSet("admin", flag.ContinueOnError)
	email := flags.String("email", "", "the admin's address")
	fromStdin := flags.Bool("password-stdin", false, "read the password from standard input; else a new admin gets one that is printed, once")
	reset := flags.Bool("reset-mfa", false, "take away the second factor of a user, who stays what they are")
	if err := flags.Parse(args); err != nil {
		return exitCode(2)
	}
	if *reset && *fromStdin {
		return errors.New("admin: --reset-mfa changes no password")
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	address, err := directory.ParseEmail(*email)
	if err != nil {
		return errors.New("admin: --email wants an address")
	}
	var password string
	if *fromStdin {
		if password, err = readPassword(); err != nil {
			return err
		}
	}
	db, err := openDatabase(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx = caller.NewContext(ctx, caller.Caller{Kind: caller.Operator, RequestID: uuid.NewString()})
	if *reset {
		return resetMFA(ctx, db, address)
	}
	return putAdmin(ctx, db, address, password)
}

func readPassword() (string, error) {
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return "", fmt.Errorf("admin: no password on standard input (%w)", err)
	}
	return password, nil
}

func putAdmin(ctx context.Context, db *sql.DB, email, password string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("putting an admin: %w", err)
	}
	defer tx.Rollback()
	var known bool
	if err := tx.QueryRowContext(ctx, `select exists (select from users where email = $1)`, email).Scan(&known); err != nil {
		return fmt.Errorf("looking for the user: %w", err)
	}
	action, made := "user.promote", ""
	if !known {
		action = "user.create"
		if password == "" {
			made = rand.Text()
			password = made
		}
	}
	id, err := putUser(ctx, tx, email, password, "admin")
	if err != nil {
		return err
	}
	event := audit.Event{Action: action, TargetID: audit.ID(id), Details: map[string]any{"role": "admin", "password_changed": password != ""}}
	if err := audit.Record(ctx, tx, event); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("putting an admin: %w", err)
	}
	fmt.Println(email, "is an admin")
	if made != "" {
		fmt.Println("password, shown this once:", made)
	}
	return nil
}

// putUser creates a confirmed user, or gives one the role and confirms the address; it returns the id. An empty password
// leaves the one that a user has; another one ends the user's sessions.
func putUser(ctx context.Context, tx *sql.Tx, email, password, role string) (id uuid.UUID, err error) {
	hash := ""
	if password != "" {
		if hash, err = slowhash.NewPool(1, 2).Hash(ctx, uuid.Nil, []byte(password), ""); err != nil {
			return uuid.Nil, fmt.Errorf("hashing the password: %w", err)
		}
	}
	const q = `
		insert into users (email, password_hash, role, email_confirmed_at) values ($1, $2, $3, now())
		on conflict (lower(email)) do update set
			role = $3, updated_at = now(), email_confirmed_at = coalesce(users.email_confirmed_at, now()),
			password_hash = case when $2 = '' then users.password_hash else $2 end,
			password_generation = case when $2 = '' then users.password_generation else gen_random_uuid() end
		returning id`
	if err := tx.QueryRowContext(ctx, q, email, hash, role).Scan(&id); err != nil {
		return uuid.Nil, fmt.Errorf("putting the user: %w", err)
	}
	if password == "" {
		return id, nil
	}
	const end = `update user_sessions set revoked_at = now(), revoked_why = 'password' where user_id = $1 and revoked_at is null`
	if _, err := tx.ExecContext(ctx, end, id); err != nil {
		return uuid.Nil, fmt.Errorf("ending the user's sessions: %w", err)
	}
	return id, nil
}
