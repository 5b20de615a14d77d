// Package login signs users in: with a password, and then with a code if the user has a second factor. A user can prove an open
// session again in the same way (step-up).
package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// Why a login is refused. ErrRefused does not reveal whether the address or the password is wrong.
var (
	ErrRefused     = fault.New(fault.Unauthenticated, "login_refused", "Wrong email address or password")
	ErrUnconfirmed = fault.New(fault.Unauthenticated, "email_unconfirmed", "The email address is not confirmed yet")
)

// Logins signs users in.
type Logins struct {
	DB        *sqlx.DB
	Passwords *password.Passwords
	Sessions  *usersession.Sessions
	Factors   *mfa.Factors
	Networks  *network.Networks
}

// Login signs a user in. It returns ErrRefused for a wrong password. For an address (in lower case) without a user it does the
// same work and also returns ErrRefused. After the right password it returns ErrUnconfirmed, or a Challenge when the user has a
// second factor. It also returns the errors of password.Compare.
func (l *Logins) Login(ctx context.Context, email string, candidate secret.Text) (usersession.Tokens, error) {
	compared, err := l.Passwords.Compare(ctx, email, candidate)
	switch {
	case err != nil:
		return usersession.Tokens{}, err
	case compared.User.ID == uuid.Nil:
		return usersession.Tokens{}, l.refuse(ctx, compared.User, "unknown_address", ErrRefused)
	case !compared.Right:
		return usersession.Tokens{}, l.refuse(ctx, compared.User, "wrong_password", ErrRefused)
	case compared.User.EmailConfirmedAt == nil:
		return usersession.Tokens{}, l.refuse(ctx, compared.User, "email_unconfirmed", ErrUnconfirmed)
	}
	factor, err := l.Factors.Status(ctx, compared.User.ID)
	if err != nil {
		return usersession.Tokens{}, err
	}
	if factor.ActiveSince != nil {
		return usersession.Tokens{}, l.challenge(ctx, compared)
	}
	ctx = caller.ActingAs(ctx, compared.User.ID)
	session, err := l.Sessions.Prepare(ctx, compared.User, compared.Generation, "pwd")
	if err != nil {
		return usersession.Tokens{}, err
	}
	err = stores.InTransaction(ctx, l.DB, func(tx *sqlx.Tx) error { return l.open(ctx, tx, session) })
	if errors.Is(err, usersession.ErrPasswordReplaced) {
		return usersession.Tokens{}, ErrRefused
	}
	if err != nil {
		return usersession.Tokens{}, fmt.Errorf("opening a session: %w", err)
	}
	return session.Tokens, nil
}

// open stores the session of a complete sign-in, and makes the network of the request known. It mails the user if the network was
// not known, except at the first sign-in.
func (l *Logins) open(ctx context.Context, tx *sqlx.Tx, session *usersession.Opening) error {
	if err := session.Open(ctx, tx); err != nil {
		return err
	}
	known, err := l.Networks.Remember(ctx, tx, session.User.ID)
	if err != nil || known {
		return err
	}
	first, err := usersession.IsFirst(ctx, tx, session.User.ID)
	if err != nil || first {
		return err
	}
	return mail.Notify(ctx, tx, session.User.ID, mail.NewNetwork)
}

func (l *Logins) refuse(ctx context.Context, user usersession.User, why string, refusal error) error {
	event := audit.Event{Action: "login.refused", TargetID: audit.ID(user.ID), Details: map[string]any{"why": why}}
	return audit.RecordRefusal(ctx, l.DB, event, refusal)
}
