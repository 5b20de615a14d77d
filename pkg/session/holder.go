package session

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// OfHolders returns the stored sessions that are based on the PINs of these holders. Postgres decides whether they are valid.
// It returns ErrUnreachable.
func (s *Store) OfHolders(ctx context.Context, holders []uuid.UUID) ([]Session, error) {
	lists, err := s.lists(ctx, holders)
	if err != nil {
		return nil, err
	}
	values := make([]*redis.SliceCmd, len(lists))
	_, err = s.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, l := range lists {
			values[i] = pipe.MGet(ctx, l.sessions...) // the keys of one holder are in one slot
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: reading sessions: %w", ErrUnreachable, err)
	}
	var found []Session
	for i, ofHolder := range values {
		for j, value := range ofHolder.Val() {
			text, exists := value.(string)
			if !exists {
				continue
			}
			if x := s.decode(lists[i].sessions[j], []byte(text)); x != nil {
				found = append(found, *x)
			}
		}
	}
	return found, nil
}

// Forget deletes the stored sessions of these holders. A session that is stored at the same time may remain, so the sessions
// must already be invalid in Postgres. It returns ErrUnreachable.
func (s *Store) Forget(ctx context.Context, holders []uuid.UUID) error {
	lists, err := s.lists(ctx, holders)
	if err != nil {
		return err
	}
	_, err = s.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, l := range lists {
			pipe.Del(ctx, l.sessions...)
			pipe.ZRem(ctx, l.key, toAny(l.sessions)...)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: deleting sessions: %w", ErrUnreachable, err)
	}
	return nil
}

// list is the list of a holder: its Redis key, and the keys of the sessions.
type list struct {
	key      string
	sessions []string
}

// lists returns the lists that exist.
func (s *Store) lists(ctx context.Context, holders []uuid.UUID) ([]list, error) {
	replies := make([]*redis.StringSliceCmd, len(holders))
	_, err := s.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, holder := range holders {
			replies[i] = pipe.ZRange(ctx, listKey(holder), 0, -1)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: listing sessions: %w", ErrUnreachable, err)
	}
	var lists []list
	for i, holder := range holders {
		if keys := replies[i].Val(); len(keys) > 0 {
			lists = append(lists, list{listKey(holder), keys})
		}
	}
	return lists, nil
}

func toAny(keys []string) []any {
	all := make([]any, len(keys))
	for i, key := range keys {
		all[i] = key
	}
	return all
}

func listKey(holder uuid.UUID) string { return "pin:{" + holder.String() + "}:sessions" }
