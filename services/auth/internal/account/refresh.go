package account

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

// ErrRefreshRefused is the one answer to a refresh token that is malformed, unknown, expired, revoked or reused.
var ErrRefreshRefused = fault.New(fault.Unauthenticated, "refresh_refused", "Invalid, expired or revoked refresh token")

// Refresh exchanges a session's current refresh token for the next one. The next one is derived from it, so the direct
// parent of the current one can be answered again, with the same token, when the first answer was lost or many asked at
// once. Any older one has been used by somebody who is not its owner, or by its owner after somebody else: the session
// ends, for both.
func (a *Accounts) Refresh(ctx context.Context, presented secret.Text) (SignIn, error) {
	parent, err := token.Parse(token.Refresh, presented.Reveal(), 0)
	if err != nil {
		return SignIn{}, ErrRefreshRefused
	}
	child, err := a.child(a.ring.Current(), parent)
	if err != nil {
		return SignIn{}, err
	}
	s, err := a.rotate(ctx, parent, child)
	if errors.Is(err, errNotCurrent) {
		s, child, err = a.repeat(ctx, parent)
	}
	if err != nil {
		return SignIn{}, err
	}
	return a.issue(ctx, s.User, s.Session, s.AMR, child)
}

// child derives the refresh token that follows parent, under one key of the ring.
func (a *Accounts) child(key string, parent token.Token) (token.Token, error) {
	subkey, err := a.ring.Subkey(key, keyring.RefreshChain)
	if err != nil {
		return token.Token{}, fmt.Errorf("deriving the key of refresh tokens: %w", err)
	}
	mac := hmac.New(sha256.New, subkey)
	mac.Write([]byte(parent.Reveal()))
	return token.From(token.Refresh, [sha256.Size]byte(mac.Sum(nil))), nil
}

// repeat answers a parent again that was exchanged before, or ends its session when it is an older one.
func (a *Accounts) repeat(ctx context.Context, presented token.Token) (family, token.Token, error) {
	f, err := a.family(ctx, presented)
	switch {
	case err != nil:
		return family{}, token.Token{}, err
	case !f.Live || f.Presented >= f.Current:
		return family{}, token.Token{}, ErrRefreshRefused
	case f.Presented == f.Current-1:
		child, err := a.storedChild(presented, f.CurrentHash)
		return f, child, err
	}
	reuse := audit.Event{Action: "session.reuse", Details: map[string]any{"user_id": f.User.ID}}
	// Hanging up must not save the session of who presents a stolen token.
	if err := a.end(context.WithoutCancel(ctx), f.Session, "reuse", reuse); err != nil {
		return family{}, token.Token{}, err
	}
	return family{}, token.Token{}, ErrRefreshRefused
}

// storedChild finds the child that was handed out: the key that was current then may be another one now, or another one
// at the replica that did it.
func (a *Accounts) storedChild(parent token.Token, hash []byte) (token.Token, error) {
	for _, key := range a.ring.IDs() {
		child, err := a.child(key, parent)
		if err != nil {
			return token.Token{}, err
		}
		if bytes.Equal(child.Hash(), hash) {
			return child, nil
		}
	}
	return token.Token{}, ErrRefreshRefused // its key has left the ring
}

// family is a session with its refresh tokens.
type family struct {
	User
	Session uuid.UUID      `db:"session_id"`
	AMR     pq.StringArray `db:"amr"`
	// Live says that the session was neither ended nor has run out, ExpiresAt when it will.
	Live      bool      `db:"live"`
	ExpiresAt time.Time `db:"expires_at"`
	// Presented and Current are the numbers of the token that was presented and of the one that is good now.
	Presented   int64  `db:"presented"`
	Current     int64  `db:"current"`
	CurrentHash []byte `db:"current_hash"`
}

// errNotCurrent says that a refresh token is not the one that is good now. It stays in here.
var errNotCurrent = errors.New("not the current refresh token")

// rotate makes child the current refresh token of a live session whose current one is parent, or returns errNotCurrent. Of
// many that ask at once one gets through: the others wait for the row and then find another number in it.
func (a *Accounts) rotate(ctx context.Context, parent, child token.Token) (family, error) {
	const q = `
		with rotated as (
			update user_sessions s set current_number = s.current_number + 1, refreshed_at = now()
			  from refresh_tokens p
			 where p.token_hash = $1 and s.id = p.session_id and s.current_number = p.number
			   and s.revoked_at is null and s.expires_at > now()
			returning s.id, s.user_id, s.current_number, s.amr
		), added as (
			insert into refresh_tokens (token_hash, session_id, number) select $2, id, current_number from rotated
		)
		select r.id as session_id, r.amr, u.id, u.email, u.role, u.email_confirmed_at from rotated r join users u on u.id = r.user_id`
	var f family
	err := a.db.GetContext(ctx, &f, q, parent.Hash(), child.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return family{}, errNotCurrent
	}
	if err != nil {
		return family{}, fmt.Errorf("rotating a refresh token: %w", err)
	}
	return f, nil
}

// family returns the session that a refresh token belongs or belonged to, or ErrRefreshRefused when it is unknown.
func (a *Accounts) family(ctx context.Context, presented token.Token) (family, error) {
	const q = `
		select s.id as session_id, s.amr, s.expires_at, s.revoked_at is null and s.expires_at > now() as live,
		       p.number as presented, s.current_number as current, c.token_hash as current_hash,
		       u.id, u.email, u.role, u.email_confirmed_at
		  from refresh_tokens p
		  join user_sessions s on s.id = p.session_id
		  join refresh_tokens c on c.session_id = s.id and c.number = s.current_number
		  join users u on u.id = s.user_id
		 where p.token_hash = $1`
	var f family
	err := a.db.GetContext(ctx, &f, q, presented.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return family{}, ErrRefreshRefused
	}
	if err != nil {
		return family{}, fmt.Errorf("looking up a refresh token: %w", err)
	}
	return f, nil
}
