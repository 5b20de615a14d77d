package account

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// Why an address cannot be changed.
var (
	ErrSameAddress = fault.New(fault.Invalid, "same_address", "This is the address of your account already").About("email")
	ErrAddressUsed = fault.New(fault.Conflict, "address_in_use", "Another account or customer has this address")
)

// RequestAddress mails a link to the address (in lower case) that the signed-in user wants to have, and tells the user at the old
// address. If another user has the address, that user gets a notice instead of the link. It does not reveal this, nor whether
// a mail was sent. An earlier link to a new address becomes invalid. It returns ErrSameAddress, and caller.ErrInvalid when the
// user was deleted or the session has ended.
func (a *Accounts) RequestAddress(ctx context.Context, address string) error {
	who := caller.From(ctx)
	if address == who.Email {
		return ErrSameAddress
	}
	err := stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error {
		if _, err := lockAddress(ctx, tx, who.ID); err != nil {
			return err
		}
		// A new password ends the sessions and withdraws the links. A request that began before it must not add a link after it.
		if live, err := usersession.IsLive(ctx, tx, who.SessionID); err != nil || !live {
			return cmp.Or(err, error(caller.ErrInvalid))
		}
		wait, err := a.Outbox.Ask(ctx, tx, mail.NewAddress, address, false)
		if err != nil {
			return err
		}
		owner, err := findByEmail(ctx, tx, address)
		if err != nil {
			return err
		}
		to, kind := who.ID, mail.NewAddress
		if owner.EmailConfirmedAt != nil {
			to, kind = owner.ID, mail.AddressInUse
		}
		if wait > 0 {
			to = uuid.Nil
		} else if err := mail.WithdrawLinks(ctx, tx, who.ID, mail.NewAddress); err != nil {
			return err
		}
		mailed, err := a.Outbox.Put(ctx, tx, to, address, kind)
		if err != nil {
			return err
		}
		if err := mail.Notify(ctx, tx, who.ID, mail.AddressRequested); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: "address.requested", TargetID: audit.ID(who.ID), Details: map[string]any{"mail": mailed, "kind": kind}})
	})
	if err != nil {
		return fmt.Errorf("requesting a new address: %w", err)
	}
	a.Outbox.Wake()
	return nil
}

// lockAddress locks a user's row and returns the address, or caller.ErrInvalid.
func lockAddress(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) (address string, err error) {
	err = tx.GetContext(ctx, &address, `select email from users where id = $1 for no key update`, user)
	if errors.Is(err, sql.ErrNoRows) {
		return "", caller.ErrInvalid
	}
	if err != nil {
		return "", fmt.Errorf("locking a user: %w", err)
	}
	return address, nil
}

// ConfirmAddress gives a user the address to which the link was mailed. The customer with the old address is the same person, so
// the customer gets the new address too, and keeps the PINs. Signups with the new address that are not confirmed end: the link
// proves whose address it is. All sessions of the user end, and all links to the old address become invalid.
//
// A second use of the link changes nothing and returns no error. ConfirmAddress returns ErrLink for a link that is unknown,
// replaced or expired, and ErrAddressUsed when another user has confirmed the address or another customer has it.
func (a *Accounts) ConfirmAddress(ctx context.Context, presented secret.Text) error {
	link, err := token.Parse(token.Link, presented.Reveal(), 0)
	if err != nil {
		return ErrLink
	}
	const q = `
		select u.id, m.address, m.used_at is null and m.expires_at > now() as valid, u.email = m.address and m.used_at is not null as done
		  from mails m join users u on u.id = m.user_id where m.token_hash = $1 and m.kind = 'new_address'`
	var found struct {
		ID      uuid.UUID `db:"id"`
		Address string    `db:"address"`
		Valid   bool      `db:"valid"`
		Done    bool      `db:"done"`
	}
	switch err := a.DB.GetContext(ctx, &found, q, link.Hash()); {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("looking up a link: %w", err)
	case found.Done:
		return nil
	case !found.Valid:
		return a.refuseLink(ctx, "address.refused", found.ID, ErrLink)
	}
	ctx = caller.ActingAs(ctx, found.ID)
	err = stores.InTransaction(ctx, a.DB, func(tx *sqlx.Tx) error { return changeAddress(ctx, tx, found.ID, found.Address, link) })
	if errors.Is(err, ErrLink) || errors.Is(err, ErrAddressUsed) {
		return a.refuseLink(ctx, "address.refused", found.ID, err)
	}
	return err
}

// changeAddress changes a user's address and uses the link, or returns ErrLink when another request used it first.
func changeAddress(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, address string, link token.Token) error {
	old, err := lockAddress(ctx, tx, user)
	if errors.Is(err, caller.ErrInvalid) {
		return ErrLink
	}
	if err != nil {
		return err
	}
	used, err := mail.UseLinks(ctx, tx, user, link, mail.NewAddress)
	if err != nil {
		return err
	}
	if !used {
		return ErrLink
	}
	if err := mail.WithdrawLinks(ctx, tx, user, mail.Confirm, mail.Reset); err != nil {
		return err
	}
	const signups = `delete from users where lower(email) = lower($1) and email_confirmed_at is null`
	if _, err := tx.ExecContext(ctx, signups, address); err != nil {
		return fmt.Errorf("ending the signups with an address: %w", err)
	}
	const q = `update users set email = $2, password_generation = gen_random_uuid(), updated_at = now() where id = $1`
	_, err = tx.ExecContext(ctx, q, user, address)
	if violation := (*pq.Error)(nil); errors.As(err, &violation) && violation.Constraint == "users_email" {
		return ErrAddressUsed
	}
	if err != nil {
		return fmt.Errorf("changing an address: %w", err)
	}
	customer, err := directory.ChangeAddress(ctx, tx, old, address)
	if errors.Is(err, directory.ErrEmailTaken) {
		return ErrAddressUsed
	}
	if err != nil {
		return err
	}
	if _, err := usersession.EndAll(ctx, tx, user, uuid.Nil, usersession.ByUser); err != nil {
		return err
	}
	if err := password.RenewBudget(ctx, tx, strings.ToLower(address)); err != nil {
		return err
	}
	if err := mail.NotifyOldAddress(ctx, tx, user, old); err != nil {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{Action: "address.changed", TargetID: audit.ID(user), CustomerID: customer})
}
