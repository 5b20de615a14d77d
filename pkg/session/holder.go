package session

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// OfHolders returns the sessions that rest on the PINs of these holders. Whether they count is for Postgres to say. It
// returns ErrAway.
func (s Store) OfHolders(ctx context.Context, holders []uuid.UUID) ([]Session, error) {
	lists, err := s.lists(ctx, holders)
	if err != nil {
		return nil, err
	}
	values := make([]*redis.SliceCmd, len(lists))
	_, err = s.Redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, l := range lists {
			values[i] = pipe.MGet(ctx, l.sessions...) // of one holder, so of one slot
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: reading sessions: %w", ErrAway, err)
	}
	var found []Session
	for _, several := range values {
		for _, value := range several.Val() {
			text, there := value.(string)
			var x Session
			if there && json.Unmarshal([]byte(text), &x) == nil {
				found = append(found, x)
			}
		}
	}
	return found, nil
}

// Forget deletes the sessions of these holders. They must have ended by other means: one that is stored meanwhile stays.
// It returns ErrAway.
func (s Store) Forget(ctx context.Context, holders []uuid.UUID) error {
	lists, err := s.lists(ctx, holders)
	if err != nil {
		return err
	}
	_, err = s.Redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, l := range lists {
			pipe.Del(ctx, l.sessions...)
			pipe.ZRem(ctx, l.key, toAny(l.sessions)...)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: deleting sessions: %w", ErrAway, err)
	}
	return nil
}

// list is a holder's list of sessions, by their keys.
type list struct {
	key      string
	sessions []string
}

// lists returns the lists of those holders who have one.
func (s Store) lists(ctx context.Context, holders []uuid.UUID) ([]list, error) {
	asked := make([]*redis.StringSliceCmd, len(holders))
	_, err := s.Redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, holder := range holders {
			asked[i] = pipe.ZRange(ctx, listKey(holder), 0, -1)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: listing sessions: %w", ErrAway, err)
	}
	var lists []list
	for i, holder := range holders {
		if keys := asked[i].Val(); len(keys) > 0 {
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
