package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// Forgot mails a reset link to the user with an address (in lower case), at most once a minute. It does not reveal whether a
// mail was sent.
func (a *Accounts) Forgot(ctx context.Context, email string) error {
	err := stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error {
		wait, err := a.Outbox.Ask(ctx, tx, mail.Reset, email, false)
		if err != nil {
			return err
		}
		user, err := findByEmail(ctx, tx, email)
		if err != nil {
			return err
		}
		to := recipient(user, wait == 0)
		mailed, err := a.Outbox.Put(ctx, tx, to, email, mail.Reset)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: "reset.asked", TargetID: audit.ID(user.ID), Details: map[string]any{"mail": mailed}})
	})
	if err != nil {
		return fmt.Errorf("requesting a password reset: %w", err)
	}
	a.Outbox.Wake()
	return nil
}

// Reset sets a user's password by the link of a reset mail. It also confirms the address, because the user received the
// mail, and ends all sessions and all other links of the user. It returns ErrLink for a link that is unknown, used or
// expired. For a valid link it can return the errors of password.Check, or slowhash.ErrBusy.
func (a *Accounts) Reset(ctx context.Context, presented, chosen secret.Text) error {
	link, err := token.Parse(token.Link, presented.Reveal(), 0)
	if err != nil {
		return ErrLink
	}
	const q = `
		select u.id, u.email, u.role, u.email_confirmed_at from mails m join users u on u.id = m.user_id
		 where m.token_hash = $1 and m.kind = 'reset' and m.used_at is null and m.expires_at > now()`
	user, err := a.findByLink(ctx, q, link)
	if errors.Is(err, ErrLink) {
		return a.refuseLink(ctx, "reset.refused", uuid.Nil, err)
	}
	if err != nil {
		return err
	}
	if err := password.Check(chosen, "password", user.Email); err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, chosen)
	if err != nil {
		return err
	}
	err = stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error { return a.reset(caller.ActingAs(ctx, user.ID), tx, user, link, hash) })
	if errors.Is(err, ErrLink) {
		return a.refuseLink(ctx, "reset.refused", user.ID, err)
	}
	return err
}

// reset sets the password and uses the link, or returns ErrLink when another request used the link first. It locks the user's
// row before the mails, like every transaction that locks both.
func (a *Accounts) reset(ctx context.Context, tx *sqlx.Tx, user User, link token.Token, hash string) error {
	if err := password.Set(ctx, tx, user.ID, user.Email, hash, uuid.Nil); err != nil {
		return err
	}
	if err := a.Networks.KeepCurrent(ctx, tx, user.ID); err != nil {
		return err
	}
	const confirm = `update users set email_confirmed_at = now() where id = $1 and email_confirmed_at is null`
	if _, err := tx.ExecContext(ctx, confirm, user.ID); err != nil {
		return fmt.Errorf("confirming an address: %w", err)
	}
	used, err := mail.UseLinks(ctx, tx, user.ID, link, mail.Confirm, mail.Reset)
	if err != nil {
		return err
	}
	if !used {
		return ErrLink
	}
	if user.EmailConfirmedAt != nil { // otherwise it is the user's first password
		if err := mail.Notify(ctx, tx, user.ID, mail.PasswordChanged); err != nil {
			return err
		}
	}
	return audit.Record(ctx, tx, audit.Event{Action: "password.reset", TargetID: audit.ID(user.ID)})
}
