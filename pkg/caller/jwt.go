package caller

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Audience is the aud of every access token.
const Audience = "countersign"

// Claims are what an access token says. auth signs them; every service that takes access tokens reads them here.
type Claims struct {
	jwt.RegisteredClaims

	// Of a user's.
	SessionID uuid.UUID `json:"sid,omitzero"`
	Role      string    `json:"role,omitempty"`
	Email     string    `json:"email,omitempty"`
	// AMR names the methods by which the session was proved (RFC 8176).
	AMR []string `json:"amr,omitempty"`

	// Of one that an API key was exchanged for: the key's id, and those of its scopes that count, with spaces between.
	ClientID uuid.UUID `json:"client_id,omitzero"`
	Scope    string    `json:"scope,omitempty"`
}

// clockSkew is how far auth's clock may be ahead of ours. It makes no token live longer.
const clockSkew = 5 * time.Second

// Validate refuses a token from the future. The parser calls it after its own checks.
func (c Claims) Validate() error {
	if c.IssuedAt == nil || c.IssuedAt.After(time.Now().Add(clockSkew)) {
		return jwt.ErrTokenUsedBeforeIssued
	}
	return nil
}

// AccessTokens reads access tokens. Public keys come from the database, so that auth may be away.
type AccessTokens struct {
	db     *sqlx.DB
	parser *jwt.Parser
	keys   *publicKeys
}

// NewAccessTokens reads the tokens of one issuer: auth's public URL.
func NewAccessTokens(db *sqlx.DB, issuer string) *AccessTokens {
	return &AccessTokens{db: db, keys: newPublicKeys(db), parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithAudience(Audience), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
	)}
}

// Authenticate returns the caller behind an access token: a user, or the API key that the token stands for. It returns
// ErrInvalid for a token that is malformed, forged or expired, and for one whose session was ended, whose user is gone, or
// whose API key is good no more. What one may do counts as far as both the token and the database say so.
func (a *AccessTokens) Authenticate(ctx context.Context, text string) (Caller, error) {
	claims, err := a.Read(ctx, text)
	switch {
	case err != nil:
		return Caller{}, err
	case claims.ClientID != uuid.Nil:
		return a.client(ctx, claims)
	}
	return a.user(ctx, claims)
}

func (a *AccessTokens) client(ctx context.Context, claims *Claims) (Caller, error) {
	key, err := APIKeys{a.db}.ByID(ctx, claims.ClientID)
	if err != nil {
		return Caller{}, err
	}
	who := key
	who.Scopes = slices.DeleteFunc(strings.Fields(claims.Scope), func(scope string) bool { return !key.HasScope(scope) })
	return who, nil
}

func (a *AccessTokens) user(ctx context.Context, claims *Claims) (Caller, error) {
	const q = `
		select u.id, u.email, u.role, s.amr, extract(epoch from now() - s.proved_at)::float8 as proved_ago
		  from user_sessions s join users u on u.id = s.user_id
		 where s.id = $1 and s.revoked_at is null and s.expires_at > now() and u.email_confirmed_at is not null`
	var row struct {
		ID    uuid.UUID `db:"id"`
		Email string    `db:"email"`
		Role  string    `db:"role"`
		// ProvedAgo is in seconds.
		AMR       pq.StringArray `db:"amr"`
		ProvedAgo float64        `db:"proved_ago"`
	}
	err := a.db.GetContext(ctx, &row, q, claims.SessionID)
	if errors.Is(err, sql.ErrNoRows) || err == nil && row.ID.String() != claims.Subject {
		return Caller{}, ErrInvalid
	}
	if err != nil {
		return Caller{}, fmt.Errorf("looking up a sign-in session: %w", err)
	}
	return Caller{
		Kind: User, ID: row.ID, Email: row.Email, Admin: claims.Role == "admin" && row.Role == "admin",
		SessionID: claims.SessionID, AMR: row.AMR, ProvedAgo: time.Duration(row.ProvedAgo * float64(time.Second)),
	}, nil
}

// Read checks a token's signature and times and returns its claims, without asking whether its session still lives. It
// returns ErrInvalid, or what kept us from the signing keys.
func (a *AccessTokens) Read(ctx context.Context, text string) (*Claims, error) {
	var claims Claims
	if err := a.read(ctx, text, &claims); err != nil {
		return nil, err
	}
	return &claims, nil
}

// ReadLate is Read for a token that may have expired, but not longer than grace ago. Such a token still names the
// session that it belonged to, which is enough to end that session and for nothing else.
func (a *AccessTokens) ReadLate(ctx context.Context, text string, grace time.Duration) (*Claims, error) {
	claims := lateClaims{grace: grace}
	if err := a.read(ctx, text, &claims); err != nil {
		return nil, err
	}
	return &claims.Claims, nil
}

// lateClaims expire later than they say. A leeway of the parser would loosen the other times too.
type lateClaims struct {
	Claims
	grace time.Duration
}

func (c lateClaims) GetExpirationTime() (*jwt.NumericDate, error) {
	expires, err := c.Claims.GetExpirationTime()
	if expires == nil || err != nil {
		return expires, err
	}
	return jwt.NewNumericDate(expires.Add(c.grace)), nil
}

func (a *AccessTokens) read(ctx context.Context, text string, claims jwt.Claims) error {
	var away error
	_, err := a.parser.ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, err := a.keys.find(ctx, kid)
		if !errors.Is(err, ErrInvalid) {
			away = err
		}
		return key, err
	})
	if away != nil {
		return away
	}
	if err != nil {
		return ErrInvalid
	}
	return nil
}
