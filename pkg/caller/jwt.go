package caller

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/singleflight"
)

// Audience is the aud of every access token.
const Audience = "countersign"

// Claims are what an access token says. auth signs them; every service that takes access tokens reads them here.
type Claims struct {
	jwt.RegisteredClaims
	SessionID uuid.UUID `json:"sid"`
	Role      string    `json:"role"`
	Email     string    `json:"email"`
	// AMR names the methods by which the session was proved (RFC 8176).
	AMR []string `json:"amr"`
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

const (
	// maxKeys bounds the memory for key ids, also those that were asked for in vain.
	maxKeys = 1000
	// keyTime is how long a key is taken for what it was, so that one that was deleted stops opening.
	keyTime = 5 * time.Minute
)

// publicKey is what the database said of a key id; key is nil when there is none.
type publicKey struct {
	key  ed25519.PublicKey
	read time.Time
}

// AccessTokens reads access tokens. Public keys come from the database, so that auth may be away,
// and each is kept for a while.
type AccessTokens struct {
	db     *sqlx.DB
	parser *jwt.Parser

	// loads lets those who need the same key at the same moment ask for it once.
	loads singleflight.Group
	mu    sync.Mutex
	keys  map[uuid.UUID]publicKey
}

// NewAccessTokens reads the tokens of one issuer: auth's public URL.
func NewAccessTokens(db *sqlx.DB, issuer string) *AccessTokens {
	return &AccessTokens{db: db, keys: map[uuid.UUID]publicKey{}, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithAudience(Audience), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
	)}
}

// Authenticate returns the caller behind an access token. It returns ErrInvalid for a token that is malformed, forged or
// expired, and for one whose session was ended or whose user is gone. An admin is one by the token and by the database.
func (a *AccessTokens) Authenticate(ctx context.Context, text string) (Caller, error) {
	claims, err := a.Read(ctx, text)
	if err != nil {
		return Caller{}, err
	}
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
	err = a.db.GetContext(ctx, &row, q, claims.SessionID)
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
		key, err := a.key(ctx, kid)
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

func (a *AccessTokens) key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	id, err := uuid.Parse(kid)
	if err != nil {
		return nil, ErrInvalid
	}
	a.mu.Lock()
	known, ok := a.keys[id]
	a.mu.Unlock()
	if !ok || time.Since(known.read) > keyTime {
		loaded, err, _ := a.loads.Do(kid, func() (any, error) { return a.load(context.WithoutCancel(ctx), id) })
		if err != nil {
			return nil, err
		}
		known = loaded.(publicKey)
	}
	if known.key == nil {
		return nil, ErrInvalid
	}
	return known.key, nil
}

func (a *AccessTokens) load(ctx context.Context, id uuid.UUID) (publicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var key []byte
	err := a.db.GetContext(ctx, &key, `select public_key from signing_keys where id = $1`, id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return publicKey{}, fmt.Errorf("looking up a signing key: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.keys) >= maxKeys {
		clear(a.keys) // somebody is making ids up; the true ones come back with their next use
	}
	a.keys[id] = publicKey{key, time.Now()}
	return a.keys[id], nil
}
