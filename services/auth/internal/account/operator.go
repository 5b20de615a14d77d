package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// ErrNoUser means that no user has the given address.
var ErrNoUser = fault.New(fault.NotFound, "user_not_found", "No user has this email address")

// FindUser returns the user with an address (in lower case), or ErrNoUser.
func FindUser(ctx context.Context, db sqlx.QueryerContext, email string) (User, error) {
	user, err := findByEmail(ctx, db, email)
	if err == nil && user.ID == uuid.Nil {
		err = ErrNoUser
	}
	return user, err
}

// PutUser creates or changes the user with this address (in lower case): the user then has this role and a confirmed address.
// The operator's command calls it: the operator guarantees that the address belongs to the user.
//
// With an empty password, a confirmed user keeps the old password. A new or unconfirmed user gets a random password, which
// PutUser returns: a stranger may have signed up with the address and chosen the old password. A new password ends the user's
// sessions and renews the guess budget. PutUser returns the errors of password.Check.
func PutUser(ctx context.Context, db *sqlx.DB, pool *slowhash.Pool, email, role string, chosen secret.Text) (generated secret.Text, err error) {
	if chosen.Reveal() != "" {
		if err := password.Check(chosen, "password", email); err != nil {
			return secret.Text{}, err
		}
	}
	err = stores.InTransaction(ctx, db, func(tx *sqlx.Tx) error {
		user, err := lockUser(ctx, tx, email)
		if err != nil {
			return err
		}
		if chosen.Reveal() == "" && user.EmailConfirmedAt == nil {
			generated = secret.New(rand.Text())
			chosen = generated
		}
		return putUser(ctx, tx, pool, user, role, chosen)
	})
	if err != nil {
		return secret.Text{}, err
	}
	return generated, nil
}

// lockUser returns the user with an address and locks the row. Without such a user, it returns a User with only the address.
func lockUser(ctx context.Context, tx *sqlx.Tx, email string) (User, error) {
	const q = `select id, email, role, email_confirmed_at from users where lower(email) = lower($1) for no key update`
	var user User
	err := tx.GetContext(ctx, &user, q, email)
	if errors.Is(err, sql.ErrNoRows) {
		return User{Email: email}, nil // sqlx has replaced the nil pointers in the variable user
	}
	if err != nil {
		return User{}, fmt.Errorf("locking a user: %w", err)
	}
	return user, nil
}

// putUser creates or changes a user that lockUser returned.
func putUser(ctx context.Context, tx *sqlx.Tx, pool *slowhash.Pool, user User, role string, chosen secret.Text) error {
	action, isNew := "user.promote", user.ID == uuid.Nil
	if isNew {
		action = "user.create"
		var err error
		if user.ID, err = insertUser(ctx, tx, user.Email, ""); err != nil {
			return fmt.Errorf("creating a user: %w", err)
		}
	}
	const grant = `
		update users set role = $2, email_confirmed_at = coalesce(email_confirmed_at, now()), updated_at = now() where id = $1`
	if _, err := tx.ExecContext(ctx, grant, user.ID, role); err != nil {
		return fmt.Errorf("giving a user a role: %w", err)
	}
	if user.EmailConfirmedAt == nil {
		if err := mail.WithdrawLinks(ctx, tx, user.ID, mail.Confirm); err != nil {
			return err
		}
	}
	if err := audit.Record(ctx, tx, audit.Event{Action: action, TargetID: audit.ID(user.ID), Details: map[string]any{"role": role}}); err != nil {
		return err
	}
	if chosen.Reveal() == "" {
		return nil
	}
	hash, err := password.Hash(ctx, pool, chosen)
	if err != nil {
		return err
	}
	if err := password.Set(ctx, tx, user.ID, user.Email, hash, uuid.Nil); err != nil || isNew {
		return err
	}
	if err := network.Forget(ctx, tx, user.ID); err != nil {
		return err
	}
	if user.EmailConfirmedAt != nil {
		if err := mail.Notify(ctx, tx, user.ID, mail.PasswordChanged); err != nil {
			return err
		}
	}
	return audit.Record(ctx, tx, audit.Event{Action: "password.changed", TargetID: audit.ID(user.ID)})
}

// HasOthers reports whether there is a user whose address is not one of emails (in lower case).
func HasOthers(ctx context.Context, db sqlx.QueryerContext, emails ...string) (others bool, err error) {
	const q = `select exists (select from users where lower(email) <> all (coalesce($1, array[]::text[])))`
	if err := sqlx.GetContext(ctx, db, &others, q, pq.StringArray(emails)); err != nil {
		return false, fmt.Errorf("looking for users: %w", err)
	}
	return others, nil
}
