package usersession

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
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
)

// ErrPasswordReplaced means that the user's password was replaced after it was compared.
var ErrPasswordReplaced = errors.New("the password was replaced after it was compared")

// Tokens are the tokens of a session.
type Tokens struct {
	User         User
	AccessToken  secret.Text
	RefreshToken token.Token
	// ExpiresAt is when the access token expires.
	ExpiresAt time.Time
}

// Opening is a session that is prepared and not stored yet.
type Opening struct {
	Tokens
	id       uuid.UUID
	password uuid.UUID
	methods  []string
	lifetime time.Duration
}

// Prepare signs the tokens of a new session, which Open then stores. password is the generation of the password that was
// compared, methods are the authentication methods that the user proved (RFC 8176).
func (s *Sessions) Prepare(ctx context.Context, user User, password uuid.UUID, methods ...string) (*Opening, error) {
	id := uuid.New()
	tokens, err := s.issue(ctx, user, id, methods, time.Now(), token.New(token.Refresh))
	if err != nil {
		return nil, err
	}
	return &Opening{tokens, id, password, methods, s.SessionLifetime}, nil
}

// Open stores the session, so that its tokens become valid. It returns ErrPasswordReplaced when the password has another
// generation now: replacing a password ends all sessions, also those that are being opened.
func (o *Opening) Open(ctx context.Context, tx *sqlx.Tx) error {
	const q = `
		with session as (
			insert into user_sessions (id, user_id, amr, expires_at)
			select $1, u.id, $4, now() + make_interval(secs => $5)
			  from (select id from users where id = $2 and password_generation = $6 for share) u
			returning id
		)
		insert into refresh_tokens (token_hash, session_id, number) select $3, id, 1 from session`
	result, err := tx.ExecContext(ctx, q, o.id, o.User.ID, o.RefreshToken.Hash(), pq.StringArray(o.methods), o.lifetime.Seconds(), o.password)
	if err != nil {
		return fmt.Errorf("inserting a session: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrPasswordReplaced)
	}
	return audit.Record(ctx, tx, audit.Event{Action: "session.created", TargetID: audit.ID(o.id), Details: map[string]any{"amr": o.methods}})
}

// issue signs an access token of a session that was last proved at provedAt, and returns it with the refresh token.
func (s *Sessions) issue(ctx context.Context, user User, session uuid.UUID, methods []string, provedAt time.Time, refresh token.Token) (Tokens, error) {
	access, expires, err := s.Sign(ctx, user.ID, accesstoken.Claims{
		ClientID: accesstoken.SignInClient, SessionID: session, Role: user.Role, Email: user.Email, AMR: methods, AuthTime: jwt.NewNumericDate(provedAt),
	})
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{User: user, AccessToken: access, RefreshToken: refresh, ExpiresAt: expires}, nil
}

// Sign returns an access token for a user or an API key, and when it expires. It sets the registered claims.
func (s *Sessions) Sign(ctx context.Context, subject uuid.UUID, claims accesstoken.Claims) (secret.Text, time.Time, error) {
	now := time.Now()
	expires := jwt.NewNumericDate(now.Add(s.AccessLifetime))
	claims.RegisteredClaims = jwt.RegisteredClaims{
		Issuer: s.Issuer, Audience: jwt.ClaimStrings{accesstoken.Audience}, Subject: subject.String(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: expires, ID: uuid.NewString(),
	}
	text, err := s.SigningKeys.Sign(ctx, claims)
	return secret.New(text), expires.Time, err
}
