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
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// Why a link or a request for a mail is refused.
var (
	ErrLink        = fault.New(fault.Unauthenticated, "link_refused", "This link is invalid or has expired")
	ErrLinkExpired = fault.New(fault.Unauthenticated, "link_expired", "This link has expired")
	ErrTooSoon     = fault.New(fault.RateLimited, "mail_too_soon", "A mail was requested a moment ago; please wait before you request another one")
)

// Confirm confirms an address by the link of a confirmation mail. The user gets the password of the signup that the mail is
// about, also if there were other signups with the address. first is false when the address was already confirmed; then
// nothing changes. Confirm returns ErrLink, or ErrLinkExpired together with the user.
func (a *Accounts) Confirm(ctx context.Context, presented secret.Text) (user User, first bool, err error) {
	link, err := token.Parse(token.Link, presented.Reveal(), 0)
	if err != nil {
		return User{}, false, ErrLink
	}
	err = stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error {
		if user, err = confirm(ctx, tx, link); err != nil {
			return err
		}
		if err := mail.WithdrawLinks(ctx, tx, user.ID, mail.Confirm); err != nil {
			return err
		}
		if err := password.RenewBudget(ctx, tx, user.Email); err != nil {
			return err
		}
		return audit.Record(caller.ActingAs(ctx, user.ID), tx, audit.Event{Action: "user.confirmed", TargetID: audit.ID(user.ID)})
	})
	if !errors.Is(err, errNotConfirmed) {
		return user, err == nil, err
	}
	const q = `
		select u.id, u.email, u.role, u.email_confirmed_at from mails m join users u on u.id = m.user_id
		 where m.token_hash = $1 and m.kind = 'confirm'`
	user, err = a.findByLink(ctx, q, link)
	if err == nil && user.EmailConfirmedAt == nil {
		err = ErrLinkExpired
	}
	if errors.Is(err, ErrLink) || errors.Is(err, ErrLinkExpired) {
		err = a.refuseLink(ctx, "confirm.refused", user.ID, err)
	}
	return user, false, err
}

// errNotConfirmed means that a link has expired, is unknown, or belongs to a confirmed address.
var errNotConfirmed = errors.New("the link did not confirm an address")

// confirm confirms the address of a link and stores the password of its signup. It returns errNotConfirmed.
func confirm(ctx context.Context, tx *sqlx.Tx, link token.Token) (User, error) {
	const q = `
		update users u set email_confirmed_at = now(), password_hash = m.password_hash, password_generation = gen_random_uuid(), updated_at = now()
		  from mails m
		 where m.token_hash = $1 and m.kind = 'confirm' and m.expires_at > now() and u.id = m.user_id and u.email_confirmed_at is null
		returning u.id, u.email, u.role, u.email_confirmed_at`
	var user User
	err := tx.GetContext(ctx, &user, q, link.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, errNotConfirmed
	}
	if err != nil {
		return User{}, fmt.Errorf("confirming an address: %w", err)
	}
	return user, nil
}

// findByLink returns the user that a query finds by a link, or ErrLink.
func (a *Accounts) findByLink(ctx context.Context, query string, link token.Token) (User, error) {
	var user User
	err := a.DB.GetContext(ctx, &user, query, link.Hash())
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
	return audit.RecordRefusal(ctx, a.DB, audit.Event{Action: action, TargetID: audit.ID(user)}, refusal)
}

// Resend mails another confirmation link to an unconfirmed address (in lower case). The link confirms the latest signup for
// which a mail was sent. Resend returns ErrTooSoon, with the time to wait, when a mail to the address was sent or requested
// within the last minute. It treats an address without a user in the same way, so it does not reveal whether there is a user.
func (a *Accounts) Resend(ctx context.Context, email string) error {
	err := stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error {
		wait, err := a.Outbox.Ask(ctx, tx, mail.Confirm, email, false)
		if err != nil {
			return err
		}
		if wait > 0 {
			return ErrTooSoon.RetryAfter(wait)
		}
		user, hash, err := findUnconfirmed(ctx, tx, email)
		if err != nil {
			return err
		}
		if err := a.Outbox.Put(ctx, tx, user, mail.Confirm, hash); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: "confirm.asked", TargetID: audit.ID(user)})
	})
	if err != nil {
		return fmt.Errorf("requesting a confirmation mail: %w", err)
	}
	a.Outbox.Wake()
	return nil
}

// findUnconfirmed returns the id and the password hash of the user with an unconfirmed address, or uuid.Nil.
func findUnconfirmed(ctx context.Context, tx *sqlx.Tx, email string) (uuid.UUID, string, error) {
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

// ConfirmedAt returns when an address (in lower case) was confirmed. It returns nil for an unconfirmed address and for an
// address without a user.
func (a *Accounts) ConfirmedAt(ctx context.Context, email string) (*time.Time, error) {
	user, err := findByEmail(ctx, a.DB, email)
	return user.EmailConfirmedAt, err
}
