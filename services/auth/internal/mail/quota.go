package mail

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// The quota of an address: this many requested mails an hour and a day, of all kinds together. Security mails do not count, and
// one password-reset mail an hour does not count either: so a stranger who uses the quota up cannot keep the owner out.
const (
	hourlyQuota = 5
	dailyQuota  = 10
)

// takeQuota counts a mail to an address (in lower case) and reports whether it may be sent. If wanted is false, no mail is to be
// sent: it does the same work, counts nothing and reports false.
func (o *Outbox) takeQuota(ctx context.Context, tx *sqlx.Tx, kind Kind, address string, wanted bool) (bool, error) {
	hash, err := o.addressHash("quota", address)
	if err != nil {
		return false, err
	}
	const q = `
		insert into mail_quotas as q (address_hash, mailed, reset_at)
		select $1, case when $3 then '{}' else array[now()] end, case when $3 then now() end where $2
		on conflict (address_hash) do update
		   set (mailed, reset_at, changed_at) = (
		       select case when free then q.mailed else (array[now()] || q.mailed)[:$5] end, case when free then now() else q.reset_at end, now()
		         from (select $3 and coalesce(q.reset_at <= now() - interval '1 hour', true) as free) as this)
		 where $3 and coalesce(q.reset_at <= now() - interval '1 hour', true)
		    or coalesce(q.mailed[$4] <= now() - interval '1 hour', true) and coalesce(q.mailed[$5] <= now() - interval '1 day', true)`
	result, err := tx.ExecContext(ctx, q, hash, wanted, kind == Reset, hourlyQuota, dailyQuota)
	if err != nil {
		return false, fmt.Errorf("counting a mail: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("counting a mail: %w", err)
	}
	return n > 0, nil
}
