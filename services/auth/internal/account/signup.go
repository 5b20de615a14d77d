package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/mail"
)

// Signup registers an address (in lower case) and mails the link that confirms it. The answer looks and takes as if the
// address were new when it is registered already: its id is then one that nobody has. Whoever owns the address learns it
// by mail, at most one a minute: another link, for this signup's own password, while none was followed; else a notice.
// A signup in between changes nothing.
func (a *Accounts) Signup(ctx context.Context, email string, password secret.Text) (User, error) {
	if err := checkPassword(password, "password", email); err != nil {
		return User{}, err
	}
	hash, err := a.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	user := User{ID: uuid.New(), Email: email}
	err = a.together(ctx, func(tx *sqlx.Tx) error {
		id, err := insertUser(ctx, tx, email, hash)
		first := err == nil
		if first {
			user.ID = id
		} else if !errors.Is(err, errTaken) {
			return err
		}
		return a.invite(ctx, tx, email, hash, first)
	})
	if err != nil {
		return User{}, fmt.Errorf("signing up: %w", err)
	}
	a.outbox.Wake()
	return user, nil
}

// invite mails the owner of an address what a signup of it comes to, unless a mail went there just now. The first signup
// is not kept waiting: who asked for mail to an address that nobody has cannot hinder its owner.
func (a *Accounts) invite(ctx context.Context, tx *sqlx.Tx, email, hash string, first bool) error {
	wait, err := a.outbox.Ask(ctx, tx, mail.Confirm, email, first)
	if err != nil {
		return err
	}
	user, err := registered(ctx, tx, email)
	if err != nil {
		return err
	}
	kind := mail.Confirm
	if user.EmailConfirmedAt != nil {
		kind = mail.Notice
	}
	to := recipient(user, wait == 0)
	// The latest signup is what resending is about; each link stays with its own.
	const q = `update users set password_hash = $2, password_generation = gen_random_uuid(), updated_at = now() where id = $1 and email_confirmed_at is null`
	if _, err := tx.ExecContext(ctx, q, to, hash); err != nil {
		return fmt.Errorf("keeping a signup's password: %w", err)
	}
	if kind != mail.Confirm {
		hash = ""
	}
	if err := a.outbox.Put(ctx, tx, to, kind, hash); err != nil {
		return err
	}
	action := "signup.repeated"
	if first {
		action = "user.signup"
	}
	return audit.Record(ctx, tx, audit.Event{Action: action, TargetID: audit.ID(user.ID), Details: map[string]any{"mail": to != uuid.Nil, "kind": kind}})
}

// recipient is who gets a mail that was asked for: the user, or nobody.
func recipient(user User, may bool) uuid.UUID {
	if !may {
		return uuid.Nil
	}
	return user.ID
}

// errTaken says that an address is registered. It stays in here.
var errTaken = errors.New("the address is registered")

func insertUser(ctx context.Context, tx *sqlx.Tx, email, hash string) (uuid.UUID, error) {
	const q = `insert into users (email, password_hash) values ($1, $2) on conflict do nothing returning id`
	var id uuid.UUID
	err := tx.GetContext(ctx, &id, q, email, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, errTaken
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("inserting a user: %w", err)
	}
	return id, nil
}

// registered returns the user with an address, or the zero User when nobody has it: what follows is the same work.
func registered(ctx context.Context, db sqlx.QueryerContext, email string) (User, error) {
	const q = `select id, email, role, email_confirmed_at from users where lower(email) = lower($1)`
	var user User
	err := sqlx.GetContext(ctx, db, &user, q, email)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, nil
	}
	if err != nil {
		return User{}, fmt.Errorf("looking up a user: %w", err)
	}
	return user, nil
}
