// Package enrolment lets a person choose the PIN of a customer through a link that an admin issued. So no admin needs to know the
// PIN. The link has the authority of the admin who issued it: the PIN that it sets renews the guess budget and ends a lock.
package enrolment

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/token"
)

// Errors of a link.
var (
	ErrUnknown = fault.New(fault.NotFound, "enrolment_link_unknown", "The link is unknown, or a newer link has replaced it")
	ErrUsed    = fault.New(fault.Conflict, "enrolment_used", "The link was used already")
	ErrExpired = fault.New(fault.Conflict, "enrolment_expired", "The link has expired")
)

// Status is the state of a link.
type Status string

// The states. Only an open link sets a PIN.
const (
	Open    Status = "open"
	Used    Status = "used"
	Expired Status = "expired"
)

// Link is an enrolment link. Times are by Postgres's clock.
type Link struct {
	CustomerID uuid.UUID `db:"customer_id"`
	// CustomerName is nil if the customer has no display name.
	CustomerName *string   `db:"display_name"`
	Status       Status    `db:"status"`
	ExpiresAt    time.Time `db:"expires_at"`
}

// Links issues and uses enrolment links. PINs sets the PINs.
type Links struct {
	DB   *sqlx.DB
	PINs *pin.Store
}

// Issue returns the token of a new link, which is valid for 24 hours, and when it expires. The customer's earlier link ends. Issue
// returns pin.ErrGone if the customer does not exist.
func (l Links) Issue(ctx context.Context, customer uuid.UUID) (token.Token, time.Time, error) {
	const q = `
		insert into pin_enrolments (customer_id, token_hash, expires_at)
		select id, $2, now() + interval '24 hours' from customers where id = $1
		on conflict (customer_id) do update
		   set token_hash = excluded.token_hash, created_at = now(), expires_at = excluded.expires_at, used_at = null
		returning expires_at`
	issued := token.New(token.Enrolment)
	var expires time.Time
	err := audit.Change(ctx, l.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &expires, q, customer, issued.Hash())
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, pin.ErrGone
		}
		return audit.Event{Action: "enrolment.created", CustomerID: audit.ID(customer)}, err
	})
	if err != nil {
		return token.Token{}, time.Time{}, fmt.Errorf("issuing an enrolment link: %w", err)
	}
	return issued, expires, nil
}

// Get returns the link with this token, or ErrUnknown.
func (l Links) Get(ctx context.Context, text string) (Link, error) {
	presented, err := parse(text)
	if err != nil {
		return Link{}, err
	}
	return get(ctx, l.DB, presented)
}

func parse(text string) (token.Token, error) {
	presented, err := token.Parse(token.Enrolment, text, 0)
	if err != nil {
		return token.Token{}, ErrUnknown
	}
	return presented, nil
}

func get(ctx context.Context, db sqlx.QueryerContext, presented token.Token) (Link, error) {
	const q = `
		select e.customer_id, c.display_name, e.expires_at,
		       case when e.used_at is not null then 'used' when e.expires_at <= now() then 'expired' else 'open' end as status
		  from pin_enrolments e join customers c on c.id = e.customer_id
		 where e.token_hash = $1`
	var link Link
	err := sqlx.GetContext(ctx, db, &link, q, presented.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return Link{}, ErrUnknown
	}
	if err != nil {
		return Link{}, fmt.Errorf("reading an enrolment link: %w", err)
	}
	return link, nil
}

// refusal returns why a link sets no PIN, or nil.
func (l Link) refusal() error {
	switch l.Status {
	case Used:
		return ErrUsed
	case Expired:
		return ErrExpired
	}
	return nil
}

// Complete sets the PIN of the link's customer and uses the link, in one transaction. So a PIN that is refused does not use the link,
// and of parallel requests one sets its PIN. also runs in this transaction, after the PIN was set. Complete returns ErrUnknown,
// ErrUsed, ErrExpired, or an error of pin.Store.Set.
func (l Links) Complete(ctx context.Context, text string, p pin.PIN, also func(tx *sqlx.Tx, customer uuid.UUID) error) (uuid.UUID, error) {
	presented, err := parse(text)
	if err != nil {
		return uuid.Nil, err
	}
	link, err := get(ctx, l.DB, presented)
	if err != nil {
		return uuid.Nil, err
	}
	if err := link.refusal(); err != nil {
		return uuid.Nil, err // before the hash, which is the expensive part
	}
	// The customer is the tenant of the hashing pool, so that links cannot use the places that admins need.
	holder := pin.Holder{CustomerID: link.CustomerID}
	_, err = l.PINs.SetWithin(ctx, link.CustomerID, holder, p, pin.ByAdmin, func(tx *sqlx.Tx, set func() error) error {
		if err := use(ctx, tx, presented, link.CustomerID); err != nil {
			return err
		}
		if err := set(); err != nil {
			return err
		}
		return also(tx, link.CustomerID)
	})
	return link.CustomerID, err
}

// use marks a link as used, if it is open. It locks the customer's row first, as a deletion of the customer does.
func use(ctx context.Context, tx *sqlx.Tx, presented token.Token, customer uuid.UUID) error {
	const q = `
		with customer as materialized (select id from customers where id = $2 for key share)
		update pin_enrolments e set used_at = now()
		  from customer
		 where e.customer_id = customer.id and e.token_hash = $1 and e.used_at is null and e.expires_at > now()`
	result, err := tx.ExecContext(ctx, q, presented.Hash(), customer)
	if err != nil {
		return fmt.Errorf("using an enrolment link: %w", err)
	}
	used, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("using an enrolment link: %w", err)
	}
	if used == 0 {
		link, err := get(ctx, tx, presented)
		if err != nil {
			return err
		}
		return cmp.Or(link.refusal(), error(ErrUnknown))
	}
	return audit.Record(ctx, tx, audit.Event{Action: "enrolment.completed", CustomerID: audit.ID(customer)})
}
