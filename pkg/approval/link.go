package approval

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
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/token"
)

// ErrNoLink means that no approval has this link, or that its person is not within the instance any more.
var ErrNoLink = fault.New(fault.NotFound, "approval_link_unknown", "This link is unknown")

// Asked is an approval as its person reads it.
type Asked struct {
	Row
	InstanceName string `db:"instance_name"`
	// CustomerName is nil if the customer has no name.
	CustomerName *string `db:"customer_name"`
}

const (
	askedColumns = columns + `, i.name as instance_name, c.display_name as customer_name`
	askedFrom    = from + ` join instances i on i.id = a.instance_id join customers c on c.id = a.customer_id`
)

// ByLink returns the approval with a link's token, or ErrNoLink.
func ByLink(ctx context.Context, db sqlx.QueryerContext, text string) (Asked, error) {
	t, err := token.Parse(token.Approval, text, 0)
	if err != nil {
		return Asked{}, ErrNoLink
	}
	return get(ctx, db, ErrNoLink, `a.link_hash = $1`, t.Hash())
}

// OfCustomer returns an approval that a customer is asked for, or ErrNotFound.
func OfCustomer(ctx context.Context, db sqlx.QueryerContext, customer, id uuid.UUID) (Asked, error) {
	return get(ctx, db, ErrNotFound, `a.id = $1 and a.customer_id = $2`, id, customer)
}

func get(ctx context.Context, db sqlx.QueryerContext, none error, where string, args ...any) (Asked, error) {
	var a Asked
	err := sqlx.GetContext(ctx, db, &a, `select `+askedColumns+` from `+askedFrom+` where `+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return Asked{}, none
	}
	if err != nil {
		return Asked{}, fmt.Errorf("reading an approval for its person: %w", err)
	}
	return a, nil
}

// maxWaiting is the largest number of approvals that WaitingFor returns. The limits of asking allow fewer.
const maxWaiting = 100

// WaitingFor returns the pending approvals of a customer, newest first.
func WaitingFor(ctx context.Context, db sqlx.QueryerContext, customer uuid.UUID) ([]Asked, error) {
	const q = `select ` + askedColumns + ` from ` + askedFrom + `
		where a.customer_id = $1 and a.status = 'pending' and ` + statusNow + ` = 'pending'
		order by a.created_at desc, a.id desc limit $2`
	waiting := []Asked{}
	if err := sqlx.SelectContext(ctx, db, &waiting, q, customer, maxWaiting); err != nil {
		return nil, fmt.Errorf("listing the approvals that wait for a customer: %w", err)
	}
	return waiting, nil
}

// Subject is the person who is asked.
func (r Row) Subject() pin.Subject {
	return pin.Subject{InstanceID: r.InstanceID, CustomerID: audit.ID(r.CustomerID), IdentityID: r.IdentityID}
}

// Deny records that the person refused. If the approval does not wait for an answer any more, it returns Refused.
func Deny(ctx context.Context, db *sqlx.DB, r Row) error {
	const q = `
		update approvals a set status = 'denied', reason = 'person', decided_at = now()
		 where a.id = $1 and a.status = 'pending' and not ` + timeOver + ` and not ` + triesLost + `
		returning a.id`
	err := audit.Change(ctx, db, func(tx *sqlx.Tx) (audit.Event, error) {
		return audit.Event{Action: "approval.denied", CustomerID: audit.ID(r.CustomerID), IdentityID: r.IdentityID, InstanceID: audit.ID(r.InstanceID),
				TargetID: audit.ID(r.ID), Details: map[string]any{"skill": r.Skill, "grants": r.Kind, "reason": Person}},
			tx.GetContext(ctx, new(uuid.UUID), q, r.ID)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return WhyRefused(ctx, db, r)
	}
	if err != nil {
		return fmt.Errorf("denying an approval: %w", err)
	}
	return nil
}

// ErrDeciding means that two PINs are being checked for the approval, so that it takes no other PIN now.
var ErrDeciding = fault.New(fault.Unavailable, "approval_deciding", "PINs are being checked for this approval. Nothing was charged, try again").RetryAfter(time.Second)

// WhyRefused returns the reason why a decision about an approval changed nothing: the error of its present status, or ErrDeciding.
func WhyRefused(ctx context.Context, db sqlx.QueryerContext, r Row) error {
	now, err := Get(ctx, db, r.InstanceID, r.ID)
	switch {
	case err != nil:
		return err
	case now.Status == Pending:
		return ErrDeciding
	}
	return Refused(now.Status)
}
