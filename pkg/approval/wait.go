package approval

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/wakeup"
)

// channel has the id of each approval that was decided or cancelled.
const channel = "approval:changed"

// Announce tells all replicas that an approval was decided or cancelled, so that requests that wait for it are answered at once.
// Call it after the transaction. It ignores errors: without the message, the requests are answered some seconds later.
func Announce(ctx context.Context, r redis.UniversalClient, id uuid.UUID) {
	wakeup.Announce(ctx, r, channel, id)
}

// AwaitAnswer is the source of a board whose requests wait until an approval is no longer pending. The ids are those of approvals.
// An approval that does not exist is not pending.
func AwaitAnswer(db *sqlx.DB) wakeup.Source {
	among := func(ctx context.Context, ids []uuid.UUID) (answered []uuid.UUID, err error) {
		const q = `select w.id from unnest($1::uuid[]) w (id) left join (` + from + `) on a.id = w.id where coalesce(` + statusNow + `, '') <> 'pending'`
		if err := db.SelectContext(ctx, &answered, q, pq.Array(ids)); err != nil {
			return nil, fmt.Errorf("reading which approvals are pending: %w", err)
		}
		return answered, nil
	}
	return wakeup.Source{
		Channel: channel,
		Ended: func(ctx context.Context, id uuid.UUID) (bool, error) {
			answered, err := among(ctx, []uuid.UUID{id})
			return len(answered) > 0, err
		},
		EndedAmong: among,
	}
}
