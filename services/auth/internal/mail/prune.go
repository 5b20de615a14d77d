package mail

import (
	"context"
	"time"
)

const (
	pruneEvery = time.Minute
	pruneTime  = 10 * time.Second
)

// prune removes, a few at a time, the mails whose link is long over, and the pauses that are over. A link that is removed
// is answered as one that never was.
func (s *Sender) prune(ctx context.Context) {
	for {
		for _, q := range []string{
			`delete from mails where id in (select id from mails
			  where expires_at < now() - interval '30 days' order by expires_at limit 1000 for update skip locked)`,
			`delete from mail_pauses where address_hash in (select address_hash from mail_pauses
			  where mailed_at < now() - interval '1 hour' order by mailed_at limit 1000 for update skip locked)`,
		} {
			if err := s.remove(ctx, q); err != nil && ctx.Err() == nil {
				s.log.Warn("what is over in the outbox cannot be removed", "error", err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pruneEvery):
		}
	}
}

func (s *Sender) remove(ctx context.Context, q string) error {
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	_, err := s.db.ExecContext(ctx, q)
	return err
}
