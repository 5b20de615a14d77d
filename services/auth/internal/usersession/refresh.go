package usersession

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
)

// ErrRefreshRefused is the only answer to a refresh token that is malformed, unknown, expired, revoked or reused.
var ErrRefreshRefused = fault.New(fault.Unauthenticated, "refresh_refused", "Invalid, expired or revoked refresh token")

// repeatTime is how long after a refresh the replaced token is answered again. It covers a client's retries and requests of
// several tabs at the same time. It is short, because within it an owner and a thief can use the same token unnoticed.
const repeatTime = time.Minute

// Refresh exchanges the current refresh token of a session (the parent) for the next token (the child), which it derives from
// the parent. When the parent of the current token is presented again within repeatTime, it returns the same child: the first
// answer may have been lost, or several requests may have come at the same time. When the parent comes later, or an older token
// comes, two parties have the session's tokens, and Refresh ends the session. It returns ErrRefreshRefused.
func (s *Sessions) Refresh(ctx context.Context, presented secret.Text) (Tokens, error) {
	parent, err := token.Parse(token.Refresh, presented.Reveal(), 0)
	if err != nil {
		return Tokens{}, ErrRefreshRefused
	}
	child, err := s.child(s.Ring.Current(), parent)
	if err != nil {
		return Tokens{}, err
	}
	c, err := s.rotate(ctx, parent, child)
	if errors.Is(err, errNotCurrent) {
		c, child, err = s.repeat(ctx, parent)
	}
	if err != nil {
		return Tokens{}, err
	}
	return s.issue(ctx, c.User, c.Session, c.AMR, c.ProvedAt, child)
}

// child derives the refresh token that follows parent, with one key of the ring.
func (s *Sessions) child(key string, parent token.Token) (token.Token, error) {
	subkey, err := s.Ring.Subkey(key, keyring.RefreshChain)
	if err != nil {
		return token.Token{}, fmt.Errorf("deriving the key of refresh tokens: %w", err)
	}
	mac := hmac.New(sha256.New, subkey)
	mac.Write([]byte(parent.Reveal()))
	return token.From(token.Refresh, [sha256.Size]byte(mac.Sum(nil))), nil
}

// repeat returns the current token again when its parent is presented within repeatTime after the refresh. For every other
// replaced token it ends the session and returns ErrRefreshRefused. The two statements need no transaction: a token that is too
// old stays too old.
func (s *Sessions) repeat(ctx context.Context, presented token.Token) (Chain, token.Token, error) {
	c, err := s.FindChain(ctx, presented)
	switch {
	case err != nil:
		return Chain{}, token.Token{}, err
	case !c.Live || c.Presented >= c.Current:
		return Chain{}, token.Token{}, ErrRefreshRefused
	case c.Repeatable:
		child, err := s.storedChild(presented, c.CurrentHash)
		return c, child, err
	}
	reuse := audit.Event{Action: "session.reuse", Details: map[string]any{"user_id": c.User.ID}}
	// A client that presents a stolen token and disconnects must not keep the session alive.
	if err := s.End(context.WithoutCancel(ctx), c.User.ID, c.Session, ByReuse, reuse); err != nil {
		return Chain{}, token.Token{}, err
	}
	return Chain{}, token.Token{}, ErrRefreshRefused
}

// storedChild derives the child that was issued, and recognizes it by its hash. It tries every key of the ring, because another
// key may be current now, or on the replica that issued the child.
func (s *Sessions) storedChild(parent token.Token, hash []byte) (token.Token, error) {
	for _, key := range s.Ring.IDs() {
		child, err := s.child(key, parent)
		if err != nil {
			return token.Token{}, err
		}
		if bytes.Equal(child.Hash(), hash) {
			return child, nil
		}
	}
	return token.Token{}, ErrRefreshRefused // the key was removed from the ring
}

// Chain is a session with a refresh token that was presented and the current refresh token.
type Chain struct {
	User
	Session uuid.UUID      `db:"session_id"`
	AMR     pq.StringArray `db:"amr"`
	// ProvedAt is when the user last proved the session, by a sign-in or a step-up.
	ProvedAt time.Time `db:"proved_at"`
	// Live is false when the session was ended or has expired. ExpiresAt is when it expires.
	Live      bool      `db:"live"`
	ExpiresAt time.Time `db:"expires_at"`
	// Presented and Current are the numbers of the two tokens. The first token of a session has the number 1.
	Presented   int64  `db:"presented"`
	Current     int64  `db:"current"`
	CurrentHash []byte `db:"current_hash"`
	// Repeatable is true for the parent of the current token until repeatTime after the refresh.
	Repeatable bool `db:"repeatable"`
}

// errNotCurrent means that a refresh token is not the current one of a live session.
var errNotCurrent = errors.New("not the current refresh token")

// rotate makes child the current refresh token of a live session whose current token is parent. It returns errNotCurrent
// otherwise. When several requests present the same parent, one succeeds. The others wait for the row lock, and
// then parent is no longer the current token.
func (s *Sessions) rotate(ctx context.Context, parent, child token.Token) (Chain, error) {
	const q = `
		with rotated as (
			update user_sessions s set current_number = s.current_number + 1, refreshed_at = now()
			  from refresh_tokens p
			 where p.token_hash = $1 and s.id = p.session_id and s.current_number = p.number
			   and s.revoked_at is null and s.expires_at > now()
			returning s.id, s.user_id, s.current_number, s.amr, s.proved_at
		), added as (
			insert into refresh_tokens (token_hash, session_id, number) select $2, id, current_number from rotated
		)
		select r.id as session_id, r.amr, r.proved_at, u.id, u.email, u.role, u.email_confirmed_at from rotated r join users u on u.id = r.user_id`
	var c Chain
	err := s.DB.GetContext(ctx, &c, q, parent.Hash(), child.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return Chain{}, errNotCurrent
	}
	if err != nil {
		return Chain{}, fmt.Errorf("rotating a refresh token: %w", err)
	}
	return c, nil
}

// FindChain returns the session of a refresh token, or ErrRefreshRefused when the token is unknown. The session may have
// ended.
func (s *Sessions) FindChain(ctx context.Context, presented token.Token) (Chain, error) {
	const q = `
		select s.id as session_id, s.amr, s.proved_at, s.expires_at, s.revoked_at is null and s.expires_at > now() as live,
		       p.number as presented, s.current_number as current, c.token_hash as current_hash,
		       p.number = s.current_number - 1 and s.refreshed_at > now() - make_interval(secs => $2) as repeatable,
		       u.id, u.email, u.role, u.email_confirmed_at
		  from refresh_tokens p
		  join user_sessions s on s.id = p.session_id
		  join refresh_tokens c on c.session_id = s.id and c.number = s.current_number
		  join users u on u.id = s.user_id
		 where p.token_hash = $1`
	var c Chain
	err := s.DB.GetContext(ctx, &c, q, presented.Hash(), repeatTime.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return Chain{}, ErrRefreshRefused
	}
	if err != nil {
		return Chain{}, fmt.Errorf("looking up a refresh token: %w", err)
	}
	return c, nil
}
