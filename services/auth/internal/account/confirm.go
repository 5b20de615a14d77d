package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail"
)

// Why a link or a mail was refused.
var (
	ErrLink        = fault.New(fault.Unauthenticated, "link_refused", "This link is not good, or not any more")
	ErrLinkExpired = fault.New(fault.Unauthenticated, "link_expired", "This link has expired")
	ErrTooSoon     = fault.New(fault.RateLimited, "mail_too_soon", "A mail was asked for a moment ago; please wait before asking again")
)

// Confirm follows the link of a confirmation mail: the address is proved, and the password good that was chosen at the
// very signup which the mail is about, whoever else has signed up with the address before or after. first is false when
// the address was confirmed already; then nothing changes. It returns ErrLink, or ErrLinkExpired beside the user.
func (a *Accounts) Confirm(ctx context.Context, presented secret.Text) (user User, first bool, err error) {
	link, err := token.Parse(token.Link, presented.Reveal(), 0)
	if err != nil {
		return User{}, false, ErrLink
	}
	err = a.together(ctx, func(tx *sqlx.Tx) error {
		if user, err = follow(ctx, tx, link); err != nil {
			return err
		}
		if err := withdraw(ctx, tx, user.ID); err != nil {
			return err
		}
		if err := a.guesses.Renew(ctx, tx, user.Email); err != nil {
			return err
		}
		return audit.Record(as(ctx, user.ID), tx, audit.Event{Action: "user.confirmed", TargetID: audit.ID(user.ID)})
	})
	if !errors.Is(err, errNotOpen) {
		return user, err == nil, err
	}
	user, err = a.mailed(ctx, link)
	if err == nil && user.EmailConfirmedAt == nil {
		err = ErrLinkExpired
	}
	if errors.Is(err, ErrLink) || errors.Is(err, ErrLinkExpired) {
		err = a.refuseLink(ctx, "confirm.refused", user.ID, err)
	}
	return user, false, err
}

// errNotOpen says that there is nothing to confirm by a link. It stays in here.
var errNotOpen = errors.New("nothing to confirm by this link")

// follow confirms the address and the signup of a link, once, or returns errNotOpen.
func follow(ctx context.Context, tx *sqlx.Tx, link token.Token) (User, error) {
	const q = `
		update users u set email_confirmed_at = now(), password_hash = m.password_hash, password_generation = gen_random_uuid(), updated_at = now()
		  from mails m
		 where m.token_hash = $1 and m.kind = 'confirm' and m.expires_at > now() and u.id = m.user_id and u.email_confirmed_at is null
		returning u.id, u.email, u.role, u.email_confirmed_at`
	var user User
	err := tx.GetContext(ctx, &user, q, link.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, errNotOpen
	}
	if err != nil {
		return User{}, fmt.Errorf("confirming an address: %w", err)
	}
	return user, nil
}

// withdraw ends the other links that confirm a user's address, and forgets their passwords.
func withdraw(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	const q = `update mails set due_at = null, password_hash = null, used_at = now() where user_id = $1 and kind = 'confirm' and used_at is null`
	if _, err := tx.ExecContext(ctx, q, user); err != nil {
		return fmt.Errorf("withdrawing mails: %w", err)
	}
	return nil
}

// mailed returns the user to whom a confirmation link was mailed, or ErrLink.
func (a *Accounts) mailed(ctx context.Context, link token.Token) (User, error) {
	const q = `
		select u.id, u.email, u.role, u.email_confirmed_at from mails m join users u on u.id = m.user_id
		 where m.token_hash = $1 and m.kind = 'confirm'`
	return a.linked(ctx, q, link)
}

// linked returns the user whom a query finds by a link, or ErrLink.
func (a *Accounts) linked(ctx context.Context, query string, link token.Token) (User, error) {
	var user User
	err := a.db.GetContext(ctx, &user, query, link.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, ErrLink
	}
	if err != nil {
		return User{}, fmt.Errorf("looking up a link: %w", err)
	}
	return user, nil
}

// refuseLink records a refused link and returns the refusal.
func (a *Accounts) refuseLink(ctx context.Context, action string, user uuid.UUID, refusal error) error {
	event := audit.Event{Action: action, TargetID: audit.ID(user)}
	if err := audit.Record(context.WithoutCancel(ctx), a.db, event); err != nil {
		return err
	}
	return refusal
}

// Resend mails another confirmation link, for the latest signup that was mailed, to an address (in lower case) that
// somebody has and that is not confirmed. Nobody learns whether there is such a user: ErrTooSoon, with how long to wait,
// comes within a minute of the last mail or of the last time that one was asked for, for every address.
func (a *Accounts) Resend(ctx context.Context, email string) error {
	err := a.together(ctx, func(tx *sqlx.Tx) error {
		wait, err := a.outbox.Ask(ctx, tx, mail.Confirm, email, false)
		if err != nil {
			return err
		}
		if wait > 0 {
			return ErrTooSoon.RetryAfter(wait)
		}
		user, hash, err := unconfirmed(ctx, tx, email)
		if err != nil {
			return err
		}
		if err := a.outbox.Put(ctx, tx, user, mail.Confirm, hash); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: "confirm.asked", TargetID: audit.ID(user)})
	})
	if err != nil {
		return fmt.Errorf("asking for a confirmation: %w", err)
	}
	a.outbox.Wake()
	return nil
}

// unconfirmed returns the user whose address is still to be confirmed and its password's hash, or uuid.Nil.
func unconfirmed(ctx context.Context, tx *sqlx.Tx, email string) (uuid.UUID, string, error) {
	const q = `select id, password_hash from users where lower(email) = lower($1) and email_confirmed_at is null`
	var row struct {
		ID   uuid.UUID `db:"id"`
		Hash string    `db:"password_hash"`
	}
	if err := tx.GetContext(ctx, &row, q, email); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, "", fmt.Errorf("looking up a user: %w", err)
	}
	return row.ID, row.Hash, nil
}

// ConfirmedAt returns when an address (in lower case) was confirmed; nil for one that is not, and for one that nobody has.
func (a *Accounts) ConfirmedAt(ctx context.Context, email string) (*time.Time, error) {
	user, err := registered(ctx, a.db, email)
	return user.EmailConfirmedAt, err
}
