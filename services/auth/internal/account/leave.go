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
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
)

// ErrOnlyAdmin means that the deployment would have no admin left.
var ErrOnlyAdmin = fault.New(fault.Conflict, "only_admin", "You are the only admin: make another user an admin first")

// Export is a user's data, without secrets.
type Export struct {
	Profile
	ExportedAt       time.Time  `db:"exported_at"`
	Role             string     `db:"role"`
	EmailConfirmedAt *time.Time `db:"email_confirmed_at"`
	// SecondFactorSince is nil when the user has no second factor.
	SecondFactorSince *time.Time `db:"second_factor_since"`
}

// Export returns the data of a signed-in user. It returns caller.ErrInvalid when the user was deleted.
func (a *Accounts) Export(ctx context.Context, user uuid.UUID) (Export, error) {
	const q = `
		select now() as exported_at, role, email_confirmed_at, ` + profileColumns + `,
		       (select confirmed_at from second_factors f where f.user_id = users.id) as second_factor_since
		  from users where id = $1`
	var e Export
	err := a.DB.GetContext(ctx, &e, q, user)
	if errors.Is(err, sql.ErrNoRows) {
		return Export{}, caller.ErrInvalid
	}
	if err != nil {
		return Export{}, fmt.Errorf("exporting a user: %w", err)
	}
	return e, nil
}

// Delete deletes a user and all of the user's data, so that all of the user's tokens become invalid. Only the guess budget of the
// address stays: an address without an account has one too. Delete locks all admins while it counts them: otherwise the last two
// could delete themselves at the same time. It returns ErrOnlyAdmin, and caller.ErrInvalid when the user was already deleted.
func (a *Accounts) Delete(ctx context.Context, user uuid.UUID) error {
	const lockAdmins = `
		select id from users
		 where role = 'admin' and email_confirmed_at is not null and exists (select from users where id = $1 and role = 'admin')
		 order by id for update`
	return audit.Change(ctx, a.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		var admins []uuid.UUID
		if err := tx.SelectContext(ctx, &admins, lockAdmins, user); err != nil {
			return audit.Event{}, fmt.Errorf("locking the admins: %w", err)
		}
		if len(admins) == 1 && admins[0] == user {
			return audit.Event{}, ErrOnlyAdmin
		}
		err := tx.GetContext(ctx, &user, `delete from users where id = $1 returning id`, user)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, caller.ErrInvalid
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("deleting a user: %w", err)
		}
		for _, kind := range []budget.Kind{budget.PasswordSignedIn, budget.SecondFactor, budget.SecondFactorSignedIn} {
			if err := (budget.Guesses{Kind: kind}).Forget(ctx, tx, user.String()); err != nil {
				return audit.Event{}, err
			}
		}
		return audit.Event{Action: "user.deleted", TargetID: audit.ID(user)}, nil
	})
}
