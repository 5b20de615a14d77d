package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/page"
)

// ErrNoSession says that a user has no such session, whether or not somebody else has.
var ErrNoSession = fault.New(fault.NotFound, "session_not_found", "Session not found")

// Session is a sign-in that lasts.
type Session struct {
	ID          uuid.UUID      `db:"id"`
	CreatedAt   time.Time      `db:"created_at"`
	RefreshedAt time.Time      `db:"refreshed_at"`
	ExpiresAt   time.Time      `db:"expires_at"`
	AMR         pq.StringArray `db:"amr"`
}

// Sessions returns one page of a user's sessions that live.
func (a *Accounts) Sessions(ctx context.Context, user uuid.UUID, p page.Page) (page.Of[Session], error) {
	return page.Read[Session](ctx, a.db, page.List{
		Columns: `id, created_at, refreshed_at, expires_at, amr`, Table: `user_sessions`,
		Where: `user_id = $1 and revoked_at is null and expires_at > now()`, Args: []any{user},
	}, p)
}

// EndSession ends a session of a user's own; one that has ended stays so. It returns ErrNoSession.
func (a *Accounts) EndSession(ctx context.Context, user, session uuid.UUID) error {
	var own bool
	if err := a.db.GetContext(ctx, &own, `select exists (select from user_sessions where id = $1 and user_id = $2)`, session, user); err != nil {
		return fmt.Errorf("looking up a session: %w", err)
	}
	if !own { // whose a session is never changes, so it may be asked before
		return ErrNoSession
	}
	return a.end(ctx, session, "user", audit.Event{Action: "session.ended"})
}

// EndOtherSessions ends every session of a user but one.
func (a *Accounts) EndOtherSessions(ctx context.Context, user, keep uuid.UUID) error {
	const q = `
		with ended as (
			update user_sessions set revoked_at = now(), revoked_why = 'user'
			 where user_id = $1 and id <> $2 and revoked_at is null and expires_at > now()
			returning id
		)
		select count(*) from ended having count(*) > 0`
	err := audit.Change(ctx, a.db, func(tx *sqlx.Tx) (audit.Event, error) {
		var n int
		err := tx.GetContext(ctx, &n, q, user, keep)
		return audit.Event{Action: "session.ended_others", TargetID: audit.ID(user), Details: map[string]any{"sessions": n}}, err
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("ending a user's other sessions: %w", err)
	}
	return nil
}
