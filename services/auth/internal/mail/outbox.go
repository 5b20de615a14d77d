// Package mail sends mails to users: links that confirm an address or reset a password, notices, and security mails. The security
// mails about PINs go to customers; a trigger in the database writes them. A mail is written to the outbox, in the transaction of
// the change that it is about. Then a sender of any replica sends it at least once. It retries while the mail server is
// unreachable, until the link expires. The database does not contain the links' tokens: they are derived from a key.
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

// Kind is the purpose of a mail.
type Kind string

// The kinds of mails that a person requests.
const (
	// Confirm has a link that proves that the user can read the mails to the address.
	Confirm Kind = "confirm"
	// Reset has a link to choose a new password.
	Reset Kind = "reset"
	// Notice tells a user who signs up again that the address already has an account. It has no link.
	Notice Kind = "notice"
	// NewAddress has a link that proves that a user can read the mails to the address that the user wants to change to.
	NewAddress Kind = "new_address"
	// AddressInUse tells a user that another user wanted to change to the address of this account. It has no link.
	AddressInUse Kind = "address_in_use"
)

// lifetime is how long a mail's link is valid, and how long senders try to send the mail.
func lifetime(kind Kind) time.Duration {
	if kind == Reset {
		return 15 * time.Minute
	}
	return 24 * time.Hour
}

// Outbox stores mails that are to be sent.
type Outbox struct {
	ring *keyring.Ring
	wake chan struct{}
}

// NewOutbox returns the outbox of a process. It derives the links' tokens from the ring's keys.
func NewOutbox(ring *keyring.Ring) *Outbox {
	return &Outbox{ring: ring, wake: make(chan struct{}, workers)}
}

// Put stores a mail to a user, in the transaction of the change that it is about. address (in lower case) is the user's address,
// or the new address for NewAddress. Put stores nothing for uuid.Nil, and when the quota of the address is used up. It reports
// whether it stored the mail; an answer to a request must not show this. Call Wake after the commit.
func (o *Outbox) Put(ctx context.Context, tx *sqlx.Tx, to uuid.UUID, address string, kind Kind) (stored bool, err error) {
	id := uuid.New()
	link, err := o.token(o.ring.Current(), id)
	if err != nil {
		return false, err
	}
	allowed, err := o.takeQuota(ctx, tx, kind, address, to != uuid.Nil)
	if err != nil {
		return false, err
	}
	_, linked := pages[kind]
	const q = `
		insert into mails (id, user_id, kind, token_hash, address, expires_at)
		select $1, id, $3, case when $4 then $5::bytea end, case when $3 = 'new_address' then $6 end, now() + make_interval(secs => $7)
		  from users where id = $2 and $8`
	if _, err := tx.ExecContext(ctx, q, id, to, kind, linked, link.Hash(), address, lifetime(kind).Seconds(), allowed); err != nil {
		return false, fmt.Errorf("storing a mail: %w", err)
	}
	return allowed, nil
}

// UseLinks withdraws a user's links of these kinds and reports whether link was one of them and had not expired.
func UseLinks(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, link token.Token, kinds ...Kind) (bool, error) {
	return withdraw(ctx, tx, user, link.Hash(), kinds)
}

// WithdrawLinks makes a user's unused links of these kinds invalid. Their mails are not sent any more.
func WithdrawLinks(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, kinds ...Kind) error {
	_, err := withdraw(ctx, tx, user, nil, kinds)
	return err
}

func withdraw(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, linkHash []byte, kinds []Kind) (bool, error) {
	const q = `
		update mails set due_at = null, used_at = now()
		 where user_id = $1 and kind = any ($3) and used_at is null
		returning token_hash is not distinct from $2 and expires_at > now()`
	var valid []bool
	if err := tx.SelectContext(ctx, &valid, q, user, linkHash, pq.Array(kinds)); err != nil {
		return false, fmt.Errorf("withdrawing links: %w", err)
	}
	return slices.Contains(valid, true), nil
}

// Wake makes a sender of this process read the outbox now.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // every sender will read the outbox
	}
}

// token derives the token of a mail's link from one key of the ring.
func (o *Outbox) token(key string, mail uuid.UUID) (token.Token, error) {
	subkey, err := o.ring.Subkey(key, keyring.MailLinks)
	if err != nil {
		return token.Token{}, fmt.Errorf("deriving the key of links: %w", err)
	}
	mac := hmac.New(sha256.New, subkey)
	mac.Write(mail[:])
	return token.From(token.Link, [sha256.Size]byte(mac.Sum(nil))), nil
}

// link returns the link of a mail to a page. It tries every key of the ring until the token has the stored hash, because
// another key may have been current when the mail was stored.
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

// errNoKey means that the key of a mail's link is not on this replica's ring.
var errNoKey = errors.New("the key of the link is not on the ring")

// Overdue returns the number of mails that are still to be sent and were written longer ago than age.
func Overdue(ctx context.Context, db *sqlx.DB, age time.Duration) (n int, err error) {
	const q = `select count(*) from mails where due_at is not null and created_at < now() - make_interval(secs => $1)`
	if err := db.GetContext(ctx, &n, q, age.Seconds()); err != nil {
		return 0, fmt.Errorf("counting overdue mails: %w", err)
	}
	return n, nil
}
