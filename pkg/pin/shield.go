package pin

import (
	"context"
	_ "embed"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

//go:embed shield.lua
var shieldLua string

var countScript = redis.NewScript(shieldLua)

// shield keeps, in Redis, a count of each holder's attempts and a mirror of its lock, so that a storm of guesses breaks
// there and not at one row of Postgres. It only ever shortens the way to an answer that Postgres has already given:
// losing it, or finding it old, changes no verdict.
type shield struct{ redis redis.UniversalClient }

// keep is how long the counters of a holder who is left alone stay.
const keep = time.Hour

func shieldKey(holder uuid.UUID) string { return "pin:{" + holder.String() + "}:budget" }

// count adds one attempt. seen is the number of the last charge that Postgres showed for this holder. It returns the
// count, or the end of a lock that was written after that. While Redis is away both are zero.
func (s shield) count(ctx context.Context, holder uuid.UUID, seen int64) (count int64, lockedUntil time.Time) {
	said, err := countScript.Run(ctx, s.redis, []string{shieldKey(holder)}, seen, keep.Milliseconds()).Int64Slice()
	if err != nil || len(said) != 2 {
		return 0, time.Time{} // in doubt Postgres decides
	}
	if said[1] > 0 {
		return 0, time.UnixMilli(said[1])
	}
	return said[0], time.Time{}
}

// rewrite puts what Postgres said in the place of what was counted. It is an advice that may be lost.
func (s shield) rewrite(ctx context.Context, c charge) {
	values := map[string]any{"count": c.Spent}
	if c.LockedUntil != nil {
		values["locked_by"], values["locked_until"] = c.Number, c.LockedUntil.UnixMilli()
	}
	key := shieldKey(c.HolderID)
	pipe := s.redis.TxPipeline()
	pipe.HSet(ctx, key, values)
	pipe.PExpire(ctx, key, keep)
	_, _ = pipe.Exec(ctx)
}
