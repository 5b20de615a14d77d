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

// Why a confirmation link is not enough. The link stays valid.
var (
	ErrPasswordNeeded = fault.New(fault.Conflict, "password_needed", "There was more than one signup with this address. Enter the password that you chose, or choose a new password")
	ErrNotOfASignup   = fault.New(fault.Conflict, ErrPasswordNeeded.Code, "This is not the password of a signup with this address. Enter the password that you chose, or choose a new password")
	ErrBothPasswords  = fault.New(fault.Invalid, "both_passwords", "Send either password or new_password").About("new_password")
)

// Choice is the password that a user gives when following a confirmation link. Both fields are nil if the user gives none.
type Choice struct {
	// Password is the password of one of the signups with the address.
	Password *secret.Text
	// New replaces the passwords of all signups.
	New *secret.Text
}

// Confirm confirms an address by the link of a confirmation mail. The link proves only that the user can read the mails to the
// address. So if there was more than one signup with the address, the choice must say which signup is the user's: Confirm
// returns ErrPasswordNeeded without a choice. A given password must be right, also after a single signup: otherwise Confirm
// returns ErrNotOfASignup. The other signups end.
//
// first is false when the address was already confirmed; then nothing changes, and the choice is ignored. Confirm returns ErrLink,
// ErrBothPasswords, or ErrLinkExpired together with the user. For a valid link it also returns the errors of password.Check about
// new_password and of password.Compare.
func (a *Accounts) Confirm(ctx context.Context, presented secret.Text, choice Choice) (user User, first bool, err error) {
	if choice.Password != nil && choice.New != nil {
		return User{}, false, ErrBothPasswords
	}
	link, err := token.Parse(token.Link, presented.Reveal(), 0)
	if err != nil {
		return User{}, false, ErrLink
	}
	user, err = a.findConfirmation(ctx, link)
	if err != nil {
		return user, false, a.refuseLink(ctx, "confirm.refused", user.ID, err)
	}
	if user.EmailConfirmedAt != nil {
		return user, false, nil
	}
	ctx = caller.ActingAs(ctx, user.ID)
	hash, err := a.choose(ctx, user, choice)
	if err == nil {
		err = stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error {
			first, err = confirm(ctx, tx, &user, link, hash)
			return err
		})
	}
	if errors.Is(err, ErrLink) || errors.Is(err, ErrPasswordNeeded) || errors.Is(err, ErrNotOfASignup) {
		err = a.refuseLink(ctx, "confirm.refused", user.ID, err)
	}
	return user, first && err == nil, err
}

// choose returns the stored form of the password that the user gave, or "" if the user gave none.
func (a *Accounts) choose(ctx context.Context, user User, choice Choice) (string, error) {
	switch {
	case choice.New != nil:
		if err := password.Check(*choice.New, "new_password", user.Email); err != nil {
			return "", err
		}
		return a.Passwords.Hash(ctx, *choice.New)
	case choice.Password != nil:
		compared, err := a.Passwords.Compare(ctx, user.Email, *choice.Password)
		if err == nil && (!compared.Right || compared.User.ID != user.ID) {
			err = ErrNotOfASignup
		}
		return compared.Hash, err
	}
	return "", nil
}

// confirm confirms the address of a link. hash becomes the user's password; without a hash, the password of the only signup
// stays. confirm reports whether this request confirmed the address, and fills user.EmailConfirmedAt. It locks the user's row,
// as a signup does: so no signup is added between the check for repeated signups and the confirmation.
func confirm(ctx context.Context, tx *sqlx.Tx, user *User, link token.Token, hash string) (first bool, err error) {
	const lock = `select email_confirmed_at from users where id = $1 for no key update`
	err = tx.GetContext(ctx, &user.EmailConfirmedAt, lock, user.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return false, ErrLink
	}
	if err != nil {
		return false, fmt.Errorf("locking a user: %w", err)
	}
	if user.EmailConfirmedAt != nil {
		return false, nil
	}
	if hash == "" {
		repeated, err := password.HasRepeatedSignups(ctx, tx, user.ID)
		if err != nil {
			return false, err
		}
		if repeated {
			return false, ErrPasswordNeeded
		}
		if err := password.RenewBudget(ctx, tx, user.Email); err != nil {
			return false, err
		}
	} else if err := password.Set(ctx, tx, user.ID, user.Email, hash, uuid.Nil); err != nil {
		return false, err
	}
	const q = `
		update users set email_confirmed_at = now(), password_generation = gen_random_uuid(), updated_at = now()
		 where id = $1 returning email_confirmed_at`
	if err := tx.GetContext(ctx, &user.EmailConfirmedAt, q, user.ID); err != nil {
		return false, fmt.Errorf("confirming an address: %w", err)
	}
	used, err := mail.UseLinks(ctx, tx, user.ID, link, mail.Confirm)
	if err != nil {
		return false, err
	}
	if !used {
		return false, ErrLink // it expired meanwhile
	}
	return true, audit.Record(ctx, tx, audit.Event{Action: "user.confirmed", TargetID: audit.ID(user.ID)})
}

// findConfirmation returns the user of a confirmation link. It returns ErrLink, or ErrLinkExpired together with the user. A link
// of a confirmed address does not expire: it changes nothing.
func (a *Accounts) findConfirmation(ctx context.Context, link token.Token) (User, error) {
	const q = `
		select u.id, u.email, u.role, u.email_confirmed_at, m.expires_at <= now() as expired
		  from mails m join users u on u.id = m.user_id
		 where m.token_hash = $1 and m.kind = 'confirm'`
	var row struct {
		User
		Expired bool `db:"expired"`
	}
	err := a.DB.GetContext(ctx, &row, q, link.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, ErrLink
	}
	if err != nil {
		return User{}, fmt.Errorf("looking up a link: %w", err)
	}
	if row.EmailConfirmedAt == nil && row.Expired {
		return row.User, ErrLinkExpired
	}
	return row.User, nil
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

// Resend mails another confirmation link to an unconfirmed address (in lower case). Resend returns ErrTooSoon, with the time to
// wait, when a mail to the address was sent or requested within the last minute. It treats an address without a user in the
// same way, so it does not reveal whether there is a user.
func (a *Accounts) Resend(ctx context.Context, email string) error {
	err := stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error {
		wait, err := a.Outbox.Ask(ctx, tx, mail.Confirm, email, false)
		if err != nil {
			return err
		}
		if wait > 0 {
			return ErrTooSoon.RetryAfter(wait)
		}
		user, err := findByEmail(ctx, tx, email)
		if err != nil {
			return err
		}
		to := recipient(user, user.EmailConfirmedAt == nil)
		mailed, err := a.Outbox.Put(ctx, tx, to, email, mail.Confirm)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: "confirm.asked", TargetID: audit.ID(to), Details: map[string]any{"mail": mailed}})
	})
	if err != nil {
		return fmt.Errorf("requesting a confirmation mail: %w", err)
	}
	a.Outbox.Wake()
	return nil
}

// ConfirmedAt returns when an address (in lower case) was confirmed. It returns nil for an unconfirmed address and for an
// address without a user.
func (a *Accounts) ConfirmedAt(ctx context.Context, email string) (*time.Time, error) {
	user, err := findByEmail(ctx, a.DB, email)
	return user.EmailConfirmedAt, err
}
