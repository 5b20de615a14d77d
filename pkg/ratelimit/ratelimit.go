// Package ratelimit limits the number of requests. It protects the services from overload and slows down attackers. Guess
// budgets in Postgres protect secrets in addition. The counts are in Redis, so that all replicas share them. While Redis is
// slow or unreachable, each replica counts separately, so that requests are still answered.
package ratelimit

import (
	"context"
	_ "embed"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrTooMany says that a client has sent more requests than its limit allows.
var ErrTooMany = fault.New(fault.RateLimited, "rate_limited", "Too many requests, try again later")

// Window is the length of the time in which requests are counted together. A window starts with its first request.
const Window = time.Minute

// Quota is the state of a limit after a request was counted.
type Quota struct {
	Limit, Remaining int
	// Exceeded is true if the request must be refused.
	Exceeded bool
	// Reset is the time until the window ends.
	Reset time.Duration
}

// Limiter counts requests.
type Limiter struct {
	redis  redis.UniversalClient
	prefix string
	local  *localCounts
}

// New returns a Limiter. All keys in Redis begin with the name of the service, because its Redis user may use only these keys. The
// client must fail fast, as the client of stores.OpenRedis does.
func New(r redis.UniversalClient, service string) *Limiter {
	return &Limiter{redis: r, prefix: "rate:" + service + ":", local: &localCounts{windows: map[string]window{}}}
}

//go:embed count.lua
var countLua string

var countScript = redis.NewScript(countLua)

// Take counts one request against a limit of requests for each Window. rule names the limit, and client is the client's id.
func (l *Limiter) Take(ctx context.Context, rule, client string, limit int) Quota {
	return l.take(ctx, []count{{l.prefix + rule + ":" + client, limit}})
}

// wider is how many times the limit of a network is the limit of the next wider network of Networks: a /56 and a /48 have many
// clients, or one client that has them alone.
const wider = 4

// TakeAddress counts one request of an address in each of its Networks. The limit applies to the narrowest network. Each wider one
// has 4 times as much, so a /48 has 16 times the limit, and not 65,536 times.
func (l *Limiter) TakeAddress(ctx context.Context, rule, address string, limit int) Quota {
	networks := Networks(address)
	tag := networks[len(networks)-1] // the part in braces puts all keys on one server of a Redis Cluster
	counts := make([]count, len(networks))
	for i, network := range networks {
		counts[i] = count{l.prefix + rule + ":{" + tag + "}:" + network, limit}
		limit *= wider
	}
	return l.take(ctx, counts)
}

// count is the key of a count, and its limit.
type count struct {
	key   string
	limit int
}

// take counts one request in all counts, and returns the state of the one that is nearest to its limit.
func (l *Limiter) take(ctx context.Context, counts []count) Quota {
	states, err := l.addInRedis(ctx, counts)
	if err != nil {
		states = l.local.add(counts, time.Now())
	}
	quota := Quota{Limit: counts[0].limit, Remaining: counts[0].limit}
	for i, state := range states {
		if remaining := counts[i].limit - state.count; i == 0 || remaining < quota.Remaining {
			quota.Remaining, quota.Exceeded, quota.Reset = max(0, remaining), remaining < 0, state.left
		}
	}
	return quota
}

// state is a count after a request, and the time until its window ends.
type state struct {
	count int
	left  time.Duration
}

func (l *Limiter) addInRedis(ctx context.Context, counts []count) ([]state, error) {
	keys, args := make([]string, len(counts)), []any{Window.Milliseconds()}
	for i, c := range counts {
		keys[i], args = c.key, append(args, c.limit)
	}
	result, err := countScript.Run(ctx, l.redis, keys, args...).Int64Slice()
	if err != nil {
		return nil, err
	}
	states := make([]state, len(result)/2)
	for i := range states {
		states[i] = state{int(result[2*i]), time.Duration(result[2*i+1]) * time.Millisecond}
	}
	return states, nil
}

// maxLocalCounts limits the memory of localCounts to about 10 MB.
const maxLocalCounts = 50_000

// localCounts counts the requests to this process.
type localCounts struct {
	mu      sync.Mutex
	windows map[string]window
}

type window struct {
	count int
	ends  time.Time
}

// add does the same as count.lua.
func (c *localCounts) add(counts []count, now time.Time) (states []state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range counts {
		w, known := c.windows[one.key]
		if !known && len(c.windows) >= maxLocalCounts {
			clear(c.windows) // an attacker with so many addresses can exceed the limits anyway
		}
		if !now.Before(w.ends) {
			w = window{ends: now.Add(Window)}
		}
		w.count++
		c.windows[one.key] = w
		states = append(states, state{w.count, w.ends.Sub(now)})
		if w.count > one.limit {
			break
		}
	}
	return states
}
