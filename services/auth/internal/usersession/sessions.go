// Package usersession stores users' sign-in sessions and issues their tokens: short-lived access tokens, and refresh tokens
// that are replaced at every use. When a refresh token that was already replaced is used again, two parties hold it, and
// the session ends for both.
package usersession

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/signing"
)

// ErrNotFound means that the user has no session with this id. Another user may have one.
var ErrNotFound = fault.New(fault.NotFound, "session_not_found", "Session not found")

// Config has the lifetimes of sessions and their tokens.
type Config struct {
	// AccessLifetime is how long an access token is valid.
	AccessLifetime time.Duration `envconfig:"ACCESS_LIFETIME" default:"15m"`
	// SessionLifetime is how long a session lasts after the sign-in. Refreshing does not extend it: the user must enter the
	// password again every 30 days (NIST SP 800-63B).
	SessionLifetime time.Duration `envconfig:"SESSION_LIFETIME" default:"720h"`
}

// Validate returns an error that names every wrong setting.
func (c Config) Validate() error {
	var problems []error
	if c.AccessLifetime <= 0 {
		problems = append(problems, errors.New("ACCESS_LIFETIME is not positive"))
	}
	if c.SessionLifetime < c.AccessLifetime {
		problems = append(problems, errors.New("SESSION_LIFETIME is shorter than ACCESS_LIFETIME"))
	}
	return errors.Join(problems...)
}

// Sessions opens, refreshes, lists and ends sign-in sessions.
type Sessions struct {
	Config
	// Issuer is the public URL of the service and the issuer in access tokens.
	Issuer      string
	DB          *sqlx.DB
	Ring        *keyring.Ring
	SigningKeys *signing.Keys
	// AccessTokens reads the access tokens that users present.
	AccessTokens *accesstoken.Reader
}

// User is the user that a session belongs to.
type User struct {
	ID    uuid.UUID `db:"id"`
	Email string    `db:"email"`
	Role  string    `db:"role"`
	// EmailConfirmedAt is nil until the address is confirmed. Until then the user cannot sign in.
	EmailConfirmedAt *time.Time `db:"email_confirmed_at"`
}

// Session is one sign-in session.
type Session struct {
	ID          uuid.UUID      `db:"id"`
	CreatedAt   time.Time      `db:"created_at"`
	RefreshedAt time.Time      `db:"refreshed_at"`
	ExpiresAt   time.Time      `db:"expires_at"`
	AMR         pq.StringArray `db:"amr"`
}

// List returns one page of a user's live sessions.
func (s *Sessions) List(ctx context.Context, user uuid.UUID, p page.Page) (page.Of[Session], error) {
	return page.Read[Session](ctx, s.DB, page.List{
		Columns: `id, created_at, refreshed_at, expires_at, amr`, Table: `user_sessions`,
		Where: `user_id = $1 and revoked_at is null and expires_at > now()`, Args: []any{user},
	}, p)
}

// PastSession is a session that may have ended.
type PastSession struct {
	Session
	ProvedAt time.Time  `db:"proved_at"`
	EndedAt  *time.Time `db:"revoked_at"`
	EndedBy  *string    `db:"revoked_why"`
}

// History returns a user's sessions, including those that have ended, newest first, at most 1000.
func (s *Sessions) History(ctx context.Context, user uuid.UUID) ([]PastSession, error) {
	const q = `
		select id, created_at, refreshed_at, expires_at, amr, proved_at, revoked_at, revoked_why
		  from user_sessions where user_id = $1 order by created_at desc limit 1000`
	var sessions []PastSession
	if err := s.DB.SelectContext(ctx, &sessions, q, user); err != nil {
		return nil, fmt.Errorf("listing a user's sessions: %w", err)
	}
	return sessions, nil
}

// IsFirst reports whether a user's newest session is the first. Old sessions and networks are pruned, so a user whose address was
// confirmed more than 30 days ago has no first session any more.
func IsFirst(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) (first bool, err error) {
	const q = `
		select (select count(*) from (select from user_sessions where user_id = $1 limit 2) s) < 2
		       and (select count(*) from (select from known_networks where user_id = $1 limit 2) n) < 2
		       and exists (select from users where id = $1 and email_confirmed_at > now() - interval '30 days')`
	if err := tx.GetContext(ctx, &first, q, user); err != nil {
		return false, fmt.Errorf("counting a user's sessions: %w", err)
	}
	return first, nil
}

// IsLive reports whether a session has neither ended nor expired.
func IsLive(ctx context.Context, tx *sqlx.Tx, session uuid.UUID) (live bool, err error) {
	const q = `select exists (select from user_sessions where id = $1 and revoked_at is null and expires_at > now())`
	if err := tx.GetContext(ctx, &live, q, session); err != nil {
		return false, fmt.Errorf("looking up a session: %w", err)
	}
	return live, nil
}

// Prove records that a session was proved just now with these methods (RFC 8176). It returns caller.ErrInvalid when the
// session has ended.
func Prove(ctx context.Context, tx *sqlx.Tx, session uuid.UUID, methods []string) error {
	const q = `
		update user_sessions set proved_at = now(), amr = amr || array(select m from unnest($2::text[]) m where m <> all (amr))
		 where id = $1 and revoked_at is null and expires_at > now()`
	result, err := tx.ExecContext(ctx, q, session, pq.StringArray(methods))
	if err != nil {
		return fmt.Errorf("proving a session: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, caller.ErrInvalid)
	}
	return audit.Record(ctx, tx, audit.Event{Action: "session.proved", TargetID: audit.ID(session), Details: map[string]any{"amr": methods}})
}
