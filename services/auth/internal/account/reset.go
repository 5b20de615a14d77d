package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail"
)

// Forgot mails a link by which a new password is chosen to whoever has an address (in lower case), at most one a minute.
// Nobody learns whether a mail was sent.
func (a *Accounts) Forgot(ctx context.Context, email string) error {
	err := a.together(ctx, func(tx *sqlx.Tx) error {
		wait, err := a.outbox.Ask(ctx, tx, mail.Reset, email, false)
		if err != nil {
			return err
		}
		user, err := registered(ctx, tx, email)
		if err != nil {
			return err
		}
		to := recipient(user, wait == 0)
		if err := a.outbox.Put(ctx, tx, to, mail.Reset, ""); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: "reset.asked", TargetID: audit.ID(user.ID), Details: map[string]any{"mail": to != uuid.Nil}})
	})
	if err != nil {
		return fmt.Errorf("asking for a new password: %w", err)
	}
	a.outbox.Wake()
	return nil
}

// Reset follows the link of a reset mail: it sets the password, confirms the address, which the mail has proved, and ends
// every session and every other link of the user. It returns ErrLink for a link that is unknown, used or over, and what is
// wrong with the password only to who has a good one.
func (a *Accounts) Reset(ctx context.Context, presented, password secret.Text) error {
	link, err := token.Parse(token.Link, presented.Reveal(), 0)
	if err != nil {
		return ErrLink
	}
	user, err := a.resetting(ctx, link)
	if errors.Is(err, ErrLink) {
		return a.refuseLink(ctx, "reset.refused", uuid.Nil, err)
	}
	if err != nil {
		return err
	}
	if err := checkPassword(password, "password", user.Email); err != nil {
		return err
	}
	hash, err := a.hash(ctx, password)
	if err != nil {
		return err
	}
	err = a.together(ctx, func(tx *sqlx.Tx) error { return a.reset(as(ctx, user.ID), tx, user, link, hash) })
	if errors.Is(err, ErrLink) {
		return a.refuseLink(ctx, "reset.refused", user.ID, err)
	}
	return err
}

// resetting returns the user for whom a reset link is good, or ErrLink.
func (a *Accounts) resetting(ctx context.Context, link token.Token) (User, error) {
	const q = `
		select u.id, u.email, u.role, u.email_confirmed_at from mails m join users u on u.id = m.user_id
		 where m.token_hash = $1 and m.kind = 'reset' and m.used_at is null and m.expires_at > now()`
	return a.linked(ctx, q, link)
}

// reset uses the link up, or returns ErrLink when another was faster. It begins at the user's row, as everything does that
// locks a user and mails.
func (a *Accounts) reset(ctx context.Context, tx *sqlx.Tx, user User, link token.Token, hash string) error {
	if err := setPassword(ctx, tx, user.ID, user.Email, hash, uuid.Nil); err != nil {
		return err
	}
	const confirm = `update users set email_confirmed_at = now() where id = $1 and email_confirmed_at is null`
	if _, err := tx.ExecContext(ctx, confirm, user.ID); err != nil {
		return fmt.Errorf("confirming an address: %w", err)
	}
	const links = `
		update mails set due_at = null, password_hash = null, used_at = now()
		 where user_id = $1 and kind in ('confirm', 'reset') and used_at is null
		returning token_hash = $2 and kind = 'reset' and expires_at > now()`
	var good []bool
	if err := tx.SelectContext(ctx, &good, links, user.ID, link.Hash()); err != nil {
		return fmt.Errorf("using a link up: %w", err)
	}
	if !slices.Contains(good, true) {
		return ErrLink
	}
	return audit.Record(ctx, tx, audit.Event{Action: "password.reset", TargetID: audit.ID(user.ID)})
}
