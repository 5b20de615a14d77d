// Package mail brings people what they must have by mail: the link that confirms their address, the one by which they
// choose a new password, the notice that they have an account. A mail is written in the transaction of what it speaks
// of, and is then sent at least once, by whichever replica comes first, through restarts and a mail server that is away,
// for as long as its link is good. A stolen database holds no link: tokens are derived from a key that is not in it.
package mail

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
)

// Kind is what a mail is for.
type Kind string

// The kinds of mails.
const (
	// Confirm has the link that confirms an address, and with it the one signup that the mail is about.
	Confirm Kind = "confirm"
	// Reset has the link by which a new password is chosen.
	Reset Kind = "reset"
	// Notice says to somebody who signs up that the address has an account. It has no link.
	Notice Kind = "notice"
)

// lives says how long a mail's link is good, and how long it is tried to send it.
var lives = map[Kind]time.Duration{Confirm: 24 * time.Hour, Reset: 15 * time.Minute, Notice: 24 * time.Hour}

// Outbox takes mails in.
type Outbox struct {
	ring *keyring.Ring
	wake chan struct{}
}

// NewOutbox returns the outbox of a process. Its ring is what links are derived from.
func NewOutbox(ring *keyring.Ring) *Outbox {
	return &Outbox{ring: ring, wake: make(chan struct{}, workers)}
}

// Put writes a mail to a user, in the transaction it is handed; to uuid.Nil it writes none, after the same work. A
// Confirm makes passwordHash the user's password. When the transaction is committed, Wake sends the mail.
func (o *Outbox) Put(ctx context.Context, tx *sqlx.Tx, to uuid.UUID, kind Kind, passwordHash string) error {
	id := uuid.New()
	link, err := o.token(o.ring.Current(), id)
	if err != nil {
		return err
	}
	const q = `
		insert into mails (id, user_id, kind, token_hash, password_hash, expires_at)
		select $1, id, $3, case when $3 <> 'notice' then $4::bytea end, nullif($5, ''), now() + make_interval(secs => $6)
		  from users where id = $2`
	if _, err := tx.ExecContext(ctx, q, id, to, kind, link.Hash(), passwordHash, lives[kind].Seconds()); err != nil {
		return fmt.Errorf("writing a mail: %w", err)
	}
	return nil
}

// UseLinks withdraws a user's links of these kinds and reports whether link was one of them and had not expired.
func UseLinks(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, link token.Token, kinds ...Kind) (bool, error) {
	return withdraw(ctx, tx, user, link.Hash(), kinds)
}

// WithdrawLinks makes a user's unused links of these kinds invalid. Their mails are not sent any more, and their passwords are
// deleted.
func WithdrawLinks(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, kinds ...Kind) error {
	_, err := withdraw(ctx, tx, user, nil, kinds)
	return err
}

func withdraw(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, linkHash []byte, kinds []Kind) (bool, error) {
	const q = `
		update mails set due_at = null, password_hash = null, used_at = now()
		 where user_id = $1 and kind = any ($3) and used_at is null
		returning token_hash is not distinct from $2 and expires_at > now()`
	var valid []bool
	if err := tx.SelectContext(ctx, &valid, q, user, linkHash, pq.Array(kinds)); err != nil {
		return false, fmt.Errorf("withdrawing links: %w", err)
	}
	return slices.Contains(valid, true), nil
}

// Wake lets a sender of this process look into the outbox at once.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // all of them are about to look
	}
}

// token derives the token in a mail's link, under one key of the ring.
func (o *Outbox) token(key string, mail uuid.UUID) (token.Token, error) {
	subkey, err := o.ring.Subkey(key, keyring.MailLinks)
	if err != nil {
		return token.Token{}, fmt.Errorf("deriving the key of links: %w", err)
	}
	mac := hmac.New(sha256.New, subkey)
	mac.Write(mail[:])
	return token.From(token.Link, [sha256.Size]byte(mac.Sum(nil))), nil
}

// link returns the link of a mail, which leads to a page. The key that was current when the mail was written may be
// another one now, or another one at the replica that wrote it: the hash tells.
func (o *Outbox) link(page string, mail uuid.UUID, hash []byte) (secret.Text, error) {
	for _, key := range o.ring.IDs() {
		t, err := o.token(key, mail)
		if err != nil {
			return secret.Text{}, err
		}
		if bytes.Equal(t.Hash(), hash) {
			return secret.New(page + "#token=" + t.Reveal()), nil
		}
	}
	return secret.Text{}, errNoKey
}

// errNoKey says that the key of a mail's link is not on the ring, or not on this replica's ring yet.
var errNoKey = errors.New("the key of the link is not on the ring")
