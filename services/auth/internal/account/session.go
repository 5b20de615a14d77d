package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
)

// SignIn is what a user gets for a password or a refresh token.
type SignIn struct {
	User         User
	AccessToken  secret.Text
	RefreshToken token.Token
	// ExpiresAt is when the access token does.
	ExpiresAt time.Time
}

// start opens a session, proved by these methods (RFC 8176), with its first refresh token. password is the generation of the
// one that was compared; ErrRefused when it is no longer the user's.
func (a *Accounts) start(ctx context.Context, user User, password uuid.UUID, methods ...string) (SignIn, error) {
	session := uuid.New()
	signIn, err := a.issue(ctx, user, session, methods, token.New(token.Refresh))
	if err != nil {
		return SignIn{}, err
	}
	err = a.together(ctx, func(tx *sqlx.Tx) error { return a.open(ctx, tx, session, signIn, password, methods) })
	if err != nil {
		return SignIn{}, fmt.Errorf("opening a session: %w", err)
	}
	return signIn, nil
}

// open makes a session good whose tokens are issued. It returns ErrRefused when the password that was compared is no longer
// the user's: who sets a password ends all sessions, and one that was under way must not slip in behind.
func (a *Accounts) open(ctx context.Context, tx *sqlx.Tx, session uuid.UUID, s SignIn, password uuid.UUID, methods []string) error {
	const q = `
		with session as (
			insert into user_sessions (id, user_id, amr, expires_at)
			select $1, u.id, $4, now() + make_interval(secs => $5)
			  from (select id from users where id = $2 and password_generation = $6 for share) u
			returning id
		)
		insert into refresh_tokens (token_hash, session_id, number) select $3, id, 1 from session`
	lifetime := a.config.SessionLifetime.Seconds()
	result, err := tx.ExecContext(ctx, q, session, s.User.ID, s.RefreshToken.Hash(), pq.StringArray(methods), lifetime, password)
	if err != nil {
		return fmt.Errorf("inserting a session: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrRefused)
	}
	return audit.Record(ctx, tx, audit.Event{Action: "session.created", TargetID: audit.ID(session), Details: map[string]any{"amr": methods}})
}

// issue signs an access token for a session, which was proved by these methods, and puts the refresh token beside it.
func (a *Accounts) issue(ctx context.Context, user User, session uuid.UUID, methods []string, refresh token.Token) (SignIn, error) {
	access, expires, err := a.sign(ctx, user.ID, accesstoken.Claims{SessionID: session, Role: user.Role, Email: user.Email, AMR: methods})
	if err != nil {
		return SignIn{}, err
	}
	return SignIn{User: user, AccessToken: access, RefreshToken: refresh, ExpiresAt: expires}, nil
}

// sign makes an access token for a subject, a user or an API key, and says when it expires.
func (a *Accounts) sign(ctx context.Context, subject uuid.UUID, claims accesstoken.Claims) (secret.Text, time.Time, error) {
	now := time.Now()
	expires := jwt.NewNumericDate(now.Add(a.config.AccessLifetime))
	claims.RegisteredClaims = jwt.RegisteredClaims{
		Issuer: a.issuer, Audience: jwt.ClaimStrings{accesstoken.Audience}, Subject: subject.String(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: expires, ID: uuid.NewString(),
	}
	text, err := a.keys.Sign(ctx, claims)
	return secret.New(text), expires.Time, err
}

// Logout ends the session that an access token belongs to; one that has ended stays so. The token may have expired as
// long ago as its session can have lived: whoever closes the laptop and comes back later still wants out. It returns
// caller.ErrInvalid for a token that is not ours.
func (a *Accounts) Logout(ctx context.Context, access secret.Text) error {
	claims, err := a.tokens.ReadExpired(ctx, access.Reveal(), a.config.SessionLifetime)
	if err != nil {
		return err
	}
	user, err := uuid.Parse(claims.Subject)
	if err != nil || claims.SessionID == uuid.Nil {
		return caller.ErrInvalid
	}
	return a.end(as(ctx, user), claims.SessionID, "logout", audit.Event{Action: "session.ended"})
}

// end revokes a session and records the event, both or neither. A session that has ended already, or is gone, is left
// alone.
func (a *Accounts) end(ctx context.Context, session uuid.UUID, why string, event audit.Event) error {
	err := a.together(ctx, func(tx *sqlx.Tx) error {
		if err := revokeSession(ctx, tx, session, why); err != nil {
			return err
		}
		event.TargetID = audit.ID(session)
		return audit.Record(ctx, tx, event)
	})
	if err != nil && !errors.Is(err, errEnded) {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// errEnded says that a session has ended already. It stays in here.
var errEnded = errors.New("the session has ended already")

func revokeSession(ctx context.Context, tx *sqlx.Tx, session uuid.UUID, why string) error {
	const q = `update user_sessions set revoked_at = now(), revoked_why = $2 where id = $1 and revoked_at is null`
	result, err := tx.ExecContext(ctx, q, session, why)
	if err != nil {
		return fmt.Errorf("revoking a session: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errEnded)
	}
	return nil
}
