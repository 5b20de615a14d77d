// Package accesstoken reads access tokens: JWTs in the profile of RFC 9068 that auth signs with EdDSA. It reads the public
// signing keys from the database, so reading works while auth is down.
package accesstoken

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

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
)

const (
	// Type is the typ header of every access token (RFC 9068). It distinguishes access tokens from other JWTs of the same issuer.
	Type = "at+jwt"
	// Audience is the aud claim of every access token.
	Audience = "countersign"
	// SignInClient is the client_id claim of every user's token. Users sign in at auth itself, without a registered client.
	SignInClient = "auth"
)

// Claims are the contents of an access token (RFC 9068, section 2.2).
type Claims struct {
	jwt.RegisteredClaims

	// ClientID is SignInClient in a user's token. In an API key's token it is the key's id, like the subject.
	ClientID string `json:"client_id,omitempty"`

	// The following five fields are set in a user's token. AMR lists the authentication methods of the session (RFC 8176).
	// AuthTime is when the user last proved the session, by a sign-in or a step-up.
	SessionID uuid.UUID        `json:"sid,omitzero"`
	Role      string           `json:"role,omitempty"`
	Email     string           `json:"email,omitempty"`
	AMR       []string         `json:"amr,omitempty"`
	AuthTime  *jwt.NumericDate `json:"auth_time,omitempty"`

	// Scope is set in an API key's token: the token's scopes, separated by spaces.
	Scope string `json:"scope,omitempty"`
}

// clockSkew is how far auth's clock may be ahead of this replica's clock. It does not extend the life of a token.
const clockSkew = 5 * time.Second

// Validate refuses a token that was issued in the future or lacks a claim of RFC 9068. The parser calls it after its own
// checks of iss, aud and exp.
func (c Claims) Validate() error {
	if c.IssuedAt == nil || c.IssuedAt.After(time.Now().Add(clockSkew)) {
		return jwt.ErrTokenUsedBeforeIssued
	}
	ofUser := c.SessionID != uuid.Nil && c.ClientID == SignInClient && c.AuthTime != nil
	ofAPIKey := c.SessionID == uuid.Nil && c.ClientID == c.Subject
	if c.ID == "" || c.Subject == "" || !ofUser && !ofAPIKey {
		return jwt.ErrTokenRequiredClaimMissing
	}
	return nil
}

// Reader reads the access tokens of one issuer.
type Reader struct {
	db     *sqlx.DB
	parser *jwt.Parser
	keys   *keyCache
}

// NewReader returns a Reader for the tokens of one issuer: auth's public URL.
func NewReader(db *sqlx.DB, issuer string) *Reader {
	return &Reader{db: db, keys: newKeyCache(db), parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithAudience(Audience), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
	)}
}

// Authenticate returns the caller that an access token names: a user or an API key. The caller has a right only if both the
// token and the database grant it. Authenticate returns caller.ErrInvalid when the token is malformed, forged or expired,
// when the user's session has ended or the user was deleted, and when the API key is no longer valid.
func (r *Reader) Authenticate(ctx context.Context, text string) (caller.Caller, error) {
	claims, err := r.Read(ctx, text)
	switch {
	case err != nil:
		return caller.Caller{}, err
	case claims.SessionID != uuid.Nil:
		return r.user(ctx, claims)
	}
	return r.apiKey(ctx, claims)
}

func (r *Reader) apiKey(ctx context.Context, claims *Claims) (caller.Caller, error) {
	id, err := uuid.Parse(claims.ClientID)
	if err != nil {
		return caller.Caller{}, caller.ErrInvalid
	}
	key, err := credential.Keys{DB: r.db}.AuthenticateAPIKeyID(ctx, id)
	if err != nil {
		return caller.Caller{}, err
	}
	limited := key
	limited.Scopes = slices.DeleteFunc(strings.Fields(claims.Scope), func(scope string) bool { return !key.HasScope(scope) })
	return limited, nil
}

func (r *Reader) user(ctx context.Context, claims *Claims) (caller.Caller, error) {
	const q = `
		select u.id, u.email, u.role, s.amr, extract(epoch from now() - s.proved_at)::float8 as proved_ago
		  from user_sessions s join users u on u.id = s.user_id
		 where s.id = $1 and s.revoked_at is null and s.expires_at > now() and u.email_confirmed_at is not null`
	var row struct {
		ID    uuid.UUID      `db:"id"`
		Email string         `db:"email"`
		Role  string         `db:"role"`
		AMR   pq.StringArray `db:"amr"`
		// ProvedAgo is in seconds.
		ProvedAgo float64 `db:"proved_ago"`
	}
	err := r.db.GetContext(ctx, &row, q, claims.SessionID)
	if errors.Is(err, sql.ErrNoRows) || err == nil && row.ID.String() != claims.Subject {
		return caller.Caller{}, caller.ErrInvalid
	}
	if err != nil {
		return caller.Caller{}, fmt.Errorf("reading the session of an access token: %w", err)
	}
	return caller.Caller{
		Kind: caller.User, ID: row.ID, Email: row.Email, Admin: claims.Role == "admin" && row.Role == "admin",
		SessionID: claims.SessionID, AMR: row.AMR, ProvedAgo: time.Duration(row.ProvedAgo * float64(time.Second)),
	}, nil
}

// Read checks a token's type, signature, times and required claims, and returns its claims. It does not check whether the session
// has ended. It returns caller.ErrInvalid, or the database error when the signing keys cannot be read.
func (r *Reader) Read(ctx context.Context, text string) (*Claims, error) {
	var claims Claims
	if err := r.parse(ctx, text, &claims); err != nil {
		return nil, err
	}
	return &claims, nil
}

// ReadExpired is Read, but it also accepts a token that expired at most grace ago. Use its claims only to end the session
// that they name.
func (r *Reader) ReadExpired(ctx context.Context, text string, grace time.Duration) (*Claims, error) {
	claims := graceClaims{grace: grace}
	if err := r.parse(ctx, text, &claims); err != nil {
		return nil, err
	}
	return &claims.Claims, nil
}

// graceClaims report an expiry that is later than the token's. The parser's leeway option would also relax the other times.
type graceClaims struct {
	Claims
	grace time.Duration
}

func (c graceClaims) GetExpirationTime() (*jwt.NumericDate, error) {
	expires, err := c.Claims.GetExpirationTime()
	if expires == nil || err != nil {
		return expires, err
	}
	return jwt.NewNumericDate(expires.Add(c.grace)), nil
}

func (r *Reader) parse(ctx context.Context, text string, claims jwt.Claims) error {
	var databaseErr error
	_, err := r.parser.ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != Type {
			return nil, caller.ErrInvalid
		}
		id, _ := t.Header["kid"].(string)
		key, err := r.keys.find(ctx, id)
		if !errors.Is(err, caller.ErrInvalid) {
			databaseErr = err
		}
		return key, err
	})
	if databaseErr != nil {
		return databaseErr
	}
	if err != nil {
		return caller.ErrInvalid
	}
	return nil
}
