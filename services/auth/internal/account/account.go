// Package account stores users: signup, confirmation of the address, password reset, profile and deletion. No answer, and no
// duration of an answer, reveals whether an address has an account.
package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// User is a person who can sign in.
type User = usersession.User

// Accounts stores users.
type Accounts struct {
	DB        *sqlx.DB
	Passwords *password.Passwords
	Networks  *network.Networks
	Outbox    *mail.Outbox
}

// findByEmail returns the user with an address, or the zero User, so that the caller can do the same work without a user.
func findByEmail(ctx context.Context, db sqlx.QueryerContext, email string) (User, error) {
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

// recipient returns the user's id when a mail may be sent, and uuid.Nil otherwise.
func recipient(user User, allowed bool) uuid.UUID {
	if !allowed {
		return uuid.Nil
	}
	return user.ID
}
