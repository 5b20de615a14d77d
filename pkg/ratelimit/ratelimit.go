// Package ratelimit limits the number of requests. It protects the services from overload and slows down attackers. Guess
// budgets in Postgres protect secrets in addition. The counts are in Redis, so that all replicas share them. While Redis is
// slow or unreachable, each replica counts separately, so that requests are still answered.
package ratelimit

import (
	"context"
	_ "embed"
	"net/netip"
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
	redis redis.UniversalClient
	local *localCounts
}

// New returns a Limiter. The client must fail fast, as the client of stores.OpenRedis does.
func New(r redis.UniversalClient) *Limiter {
	return &Limiter{redis: r, local: &localCounts{windows: map[string]window{}}}
}

//go:embed count.lua
var countLua string

var countScript = redis.NewScript(countLua)

// Take counts one request against a limit of requests for each Window. rule names the limit, and client is the rate-limit key
// of the client.
func (l *Limiter) Take(ctx context.Context, rule, client string, limit int) Quota {
	key := "rate:" + rule + ":" + client
	count, left, err := l.addInRedis(ctx, key)
	if err != nil {
		count, left = l.local.add(key, time.Now())
	}
	return Quota{Limit: limit, Remaining: max(0, limit-count), Exceeded: count > limit, Reset: left}
}

func (l *Limiter) addInRedis(ctx context.Context, key string) (count int, left time.Duration, err error) {
	result, err := countScript.Run(ctx, l.redis, []string{key}, Window.Milliseconds()).Int64Slice()
	if err != nil {
		return 0, 0, err
	}
	return int(result[0]), time.Duration(result[1]) * time.Millisecond, nil
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

func (c *localCounts) add(key string, now time.Time) (count int, left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, known := c.windows[key]
	if !known && len(c.windows) >= maxLocalCounts {
		clear(c.windows) // an attacker with so many addresses can exceed the limits anyway
	}
	if !now.Before(w.ends) {
		w = window{ends: now.Add(Window)}
	}
	w.count++
	c.windows[key] = w
	return w.count, w.ends.Sub(now)
}

// Network returns an address's rate-limit key: the address itself or, for IPv6, its /64 network. One IPv6 client usually has
// a whole /64.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, _ := ip.Prefix(64) // 64 is within the 128 bits of an IPv6 address
	return network.String()
}
