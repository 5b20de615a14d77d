package usersession

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/stores"
)

// Reason is why a session ended. It is stored with the session.
type Reason string

// The reasons.
const (
	ByLogout   Reason = "logout"
	ByUser     Reason = "user"
	ByPassword Reason = "password"
	ByReuse    Reason = "reuse"
)

// EndAll ends all live sessions of a user except keep (uuid.Nil: all), and returns how many it ended.
func EndAll(ctx context.Context, tx *sqlx.Tx, user, keep uuid.UUID, why Reason) (int64, error) {
	return end(ctx, tx, `id <> $2`, user, keep, why)
}

func endOne(ctx context.Context, tx *sqlx.Tx, user, session uuid.UUID, why Reason) (int64, error) {
	return end(ctx, tx, `id = $2`, user, session, why)
}

func end(ctx context.Context, tx *sqlx.Tx, which string, user, session uuid.UUID, why Reason) (int64, error) {
	const q = `update user_sessions set revoked_at = now(), revoked_why = $3 where user_id = $1 and revoked_at is null and expires_at > now() and `
	result, err := tx.ExecContext(ctx, q+which, user, session, why)
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	return result.RowsAffected()
}

// End ends a session of a user and records the event. It does nothing when the session has already ended.
func (s *Sessions) End(ctx context.Context, user, session uuid.UUID, why Reason, event audit.Event) error {
	return stores.InTransaction(ctx, s.DB, func(tx *sqlx.Tx) error {
		n, err := endOne(ctx, tx, user, session, why)
		if err != nil || n == 0 {
			return err
		}
		event.TargetID = audit.ID(session)
		return audit.Record(ctx, tx, event)
	})
}

// EndOwn ends a session at its user's request. It does nothing when the session has already ended. It returns ErrNotFound
// when the user has no such session.
func (s *Sessions) EndOwn(ctx context.Context, user, session uuid.UUID) error {
	var own bool
	if err := s.DB.GetContext(ctx, &own, `select exists (select from user_sessions where id = $1 and user_id = $2)`, session, user); err != nil {
		return fmt.Errorf("looking up a session: %w", err)
	}
	if !own {
		return ErrNotFound
	}
	return s.End(ctx, user, session, ByUser, audit.Event{Action: "session.ended"})
}

// EndOthers ends all sessions of a user except keep.
func (s *Sessions) EndOthers(ctx context.Context, user, keep uuid.UUID) error {
	return stores.InTransaction(ctx, s.DB, func(tx *sqlx.Tx) error {
		n, err := EndAll(ctx, tx, user, keep, ByUser)
		if err != nil || n == 0 {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: "session.ended_others", TargetID: audit.ID(user), Details: map[string]any{"sessions": n}})
	})
}

// Logout ends the session of an access token. It does nothing when the session has already ended. The token may have
// expired, but at most SessionLifetime ago: users also sign out after a long pause. It returns caller.ErrInvalid for a token
// that this service did not issue.
func (s *Sessions) Logout(ctx context.Context, access secret.Text) error {
	claims, err := s.AccessTokens.ReadExpired(ctx, access.Reveal(), s.SessionLifetime)
	if err != nil {
		return err
	}
	user, err := uuid.Parse(claims.Subject)
	if err != nil || claims.SessionID == uuid.Nil {
		return caller.ErrInvalid
	}
	return s.End(caller.ActingAs(ctx, user), user, claims.SessionID, ByLogout, audit.Event{Action: "session.ended"})
}
