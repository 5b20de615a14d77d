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
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// Signup registers an address (in lower case) and mails a confirmation link. For an address that is already registered, the
// answer and the work are the same, and the returned id is random. The owner of the address then gets at most one mail a
// minute: a confirmation link while the address is unconfirmed, otherwise a notice. While the address is unconfirmed, the
// password of each signup is kept, also without a mail. Signup returns the errors of password.Check and slowhash.ErrBusy.
func (a *Accounts) Signup(ctx context.Context, email string, chosen secret.Text) (user User, err error) {
	if err := password.Check(chosen, "password", email); err != nil {
		return User{}, err
	}
	for range signupTries {
		user, err = a.signup(ctx, email, chosen)
		if !errors.Is(err, password.ErrOtherSalt) {
			break
		}
	}
	if err != nil {
		return User{}, fmt.Errorf("signing up: %w", err)
	}
	a.Outbox.Wake()
	return user, nil
}

// signupTries is enough for concurrent first signups with an address: after the first of them is committed, its salt stays.
const signupTries = 3

func (a *Accounts) signup(ctx context.Context, email string, chosen secret.Text) (User, error) {
	hash, err := a.Passwords.HashSignup(ctx, email, chosen)
	if err != nil {
		return User{}, err
	}
	user := User{ID: uuid.New(), Email: email}
	err = stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error {
		id, err := insertUser(ctx, tx, email, hash)
		isNew := err == nil
		if isNew {
			user.ID = id
		} else if !errors.Is(err, errTaken) {
			return err
		}
		known, err := lockUser(ctx, tx, email)
		if err != nil {
			return err
		}
		if err := password.RepeatSignup(ctx, tx, recipient(known, known.EmailConfirmedAt == nil), hash); err != nil {
			return err
		}
		return a.mailOwner(ctx, tx, known, isNew)
	})
	return user, err
}

// mailOwner sends a mail to the owner of an address after a signup, unless the owner got a mail within the last minute. The
// first signup (isNew) does not wait: otherwise a stranger could delay it by requesting mails to an address without an account.
func (a *Accounts) mailOwner(ctx context.Context, tx *sqlx.Tx, user User, isNew bool) error {
	wait, err := a.Outbox.Ask(ctx, tx, mail.Confirm, user.Email, isNew)
	if err != nil {
		return err
	}
	to, kind := recipient(user, wait == 0), mail.Confirm
	if user.EmailConfirmedAt != nil {
		kind = mail.Notice
	}
	mailed, err := a.Outbox.Put(ctx, tx, to, user.Email, kind)
	if err != nil {
		return err
	}
	action := "signup.repeated"
	if isNew {
		action = "user.signup"
	}
	return audit.Record(ctx, tx, audit.Event{Action: action, TargetID: audit.ID(user.ID), Details: map[string]any{"mail": mailed, "kind": kind}})
}

// errTaken means that the address is already registered.
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
