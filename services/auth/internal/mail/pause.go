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

// Pause is how long after a mail to an address the next one can be asked for.
const Pause = time.Minute

// Ask asks for a mail to an address (in lower case), whether or not a user has it, and returns how long to wait: 0 says
// that it may be sent, and that the next one may not. Confirmations and notices have one pause, resets another, so that
// who has one of them sent keeps nobody from the other. first says that there was no mail yet, whatever was asked for.
func (o *Outbox) Ask(ctx context.Context, tx *sqlx.Tx, kind Kind, address string, first bool) (time.Duration, error) {
	purpose := Confirm
	if kind == Reset {
		purpose = Reset
	}
	subkey, err := o.ring.Subkey(o.ring.Current(), keyring.MailPauses)
	if err != nil {
		return 0, fmt.Errorf("deriving the key of pauses: %w", err)
	}
	mac := hmac.New(sha256.New, subkey)
	mac.Write([]byte(string(purpose) + ":" + address))
	// Of many that ask at once one gets through: the others wait for its row and then find it fresh, but do not see it,
	// for it is younger than their snapshot. Who comes later sees it and need not wait for anybody.
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
	if err := tx.GetContext(ctx, &seconds, q, mac.Sum(nil), Pause.Seconds(), first); err != nil {
		return 0, fmt.Errorf("asking for a mail: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
