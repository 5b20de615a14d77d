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
)

// ErrOnlyAdmin says that nobody would be left to run the deployment.
var ErrOnlyAdmin = fault.New(fault.Conflict, "only_admin", "The only admin cannot go: make somebody else one first")

// Export is everything that is kept about a user, less what is secret.
type Export struct {
	Profile
	ExportedAt       time.Time  `db:"exported_at"`
	Role             string     `db:"role"`
	EmailConfirmedAt *time.Time `db:"email_confirmed_at"`
	// SecondFactorSince is nil when there is none.
	SecondFactorSince *time.Time    `db:"second_factor_since"`
	Sessions          []PastSession `db:"-"`
}

// PastSession is a sign-in session, also one that has ended.
type PastSession struct {
	Session
	ProvedAt time.Time  `db:"proved_at"`
	EndedAt  *time.Time `db:"revoked_at"`
	EndedBy  *string    `db:"revoked_why"`
}

// Export returns everything that is kept about a user who is signed in, or caller.ErrInvalid when the user is gone by now.
func (a *Accounts) Export(ctx context.Context, user uuid.UUID) (Export, error) {
	const q = `
		select now() as exported_at, role, email_confirmed_at, ` + profileColumns + `,
		       (select confirmed_at from second_factors f where f.user_id = users.id) as second_factor_since
		  from users where id = $1`
	var e Export
	err := a.db.GetContext(ctx, &e, q, user)
	if errors.Is(err, sql.ErrNoRows) {
		return Export{}, caller.ErrInvalid
	}
	if err != nil {
		return Export{}, fmt.Errorf("exporting a user: %w", err)
	}
	const sessions = `
		select id, created_at, refreshed_at, expires_at, amr, proved_at, revoked_at, revoked_why
		  from user_sessions where user_id = $1 order by created_at desc limit 1000`
	if err := a.db.SelectContext(ctx, &e.Sessions, sessions, user); err != nil {
		return Export{}, fmt.Errorf("exporting a user's sessions: %w", err)
	}
	return e, nil
}

// Delete deletes a user with all that belongs to it, so that no token of it counts any more. Who can be an admin is counted
// while all admins are held, or the last two would delete themselves at once. It returns
// ErrOnlyAdmin, or caller.ErrInvalid when the user is gone by now.
func (a *Accounts) Delete(ctx context.Context, user uuid.UUID) error {
	const admins = `
		select id from users
		 where role = 'admin' and email_confirmed_at is not null and exists (select from users where id = $1 and role = 'admin')
		 order by id for update`
	return audit.Change(ctx, a.db, func(tx *sqlx.Tx) (audit.Event, error) {
		var held []uuid.UUID
		if err := tx.SelectContext(ctx, &held, admins, user); err != nil {
			return audit.Event{}, fmt.Errorf("holding the admins: %w", err)
		}
		if len(held) == 1 && held[0] == user {
			return audit.Event{}, ErrOnlyAdmin
		}
		err := tx.GetContext(ctx, &user, `delete from users where id = $1 returning id`, user)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, caller.ErrInvalid
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("deleting a user: %w", err)
		}
		return audit.Event{Action: "user.deleted", TargetID: audit.ID(user)}, nil
	})
}
