package mail

import (
	"context"
	"fmt"
)

// Prune deletes up to 1000 mails whose link expired more than 30 days ago, and up to 1000 old pauses. The links of deleted mails
// are then unknown links.
func (s *Sender) Prune(ctx context.Context) error {
	for _, q := range []string{
		`delete from mails where id in (select id from mails
		  where expires_at < now() - interval '30 days' order by expires_at limit 1000 for update skip locked)`,
		`delete from mail_pauses where address_hash in (select address_hash from mail_pauses
		  where mailed_at < now() - interval '1 hour' order by mailed_at limit 1000 for update skip locked)`,
	} {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("deleting expired mails: %w", err)
		}
	}
	return nil
}
