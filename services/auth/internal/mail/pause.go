package mail

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
)

// Pause is the minimum time between two mails of one purpose to an address.
const Pause = time.Minute

// Ask returns how long a mail to an address (in lower case) must wait, whether or not a user has the address. If it returns 0,
// the mail may be sent now, and a new pause starts. All kinds except resets share one pause. Resets have another pause, so
// that requesting one kind does not delay the other. If first is true, Ask ignores a running pause.
func (o *Outbox) Ask(ctx context.Context, tx *sqlx.Tx, kind Kind, address string, first bool) (time.Duration, error) {
	purpose := Confirm
	if kind == Reset {
		purpose = Reset
	}
	hash, err := o.addressHash(string(purpose), address)
	if err != nil {
		return 0, err
	}
	// Of concurrent requests, one gets 0. The others wait for its row lock, and then the condition of the update is false. They
	// cannot read the new row, because it is younger than their snapshot, so they get the whole pause. Later requests find the
	// row in their snapshot and do not wait for a lock.
	const q = `
		with asked as (
			insert into mail_pauses as p (address_hash)
			select $1 where $3 or not exists (
			       select from mail_pauses where address_hash = $1 and mailed_at > now() - make_interval(secs => $2))
			on conflict (address_hash) do update set mailed_at = now()
			 where $3 or p.mailed_at <= now() - make_interval(secs => $2)
			returning 1
		)
		select case when exists (select from asked) then 0 else coalesce(
		       (select least($2, greatest(1, $2 - extract(epoch from now() - mailed_at))) from mail_pauses where address_hash = $1), $2) end`
	var seconds float64
	if err := tx.GetContext(ctx, &seconds, q, hash, Pause.Seconds(), first); err != nil {
		return 0, fmt.Errorf("checking the pause between mails: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// addressHash returns what is stored for an address, so that the address of a person without an account is not stored.
func (o *Outbox) addressHash(purpose, address string) ([]byte, error) {
	subkey, err := o.ring.Subkey(o.ring.Current(), keyring.MailPauses)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of addresses: %w", err)
	}
	mac := hmac.New(sha256.New, subkey)
	mac.Write([]byte(purpose + ":" + address))
	return mac.Sum(nil), nil
}
