// Package ratelimit counts requests and says when there are too many. It protects the services from traffic and slows who
// tries things out; what must never be guessed has a budget in Postgres besides. The counts are in Redis, where all
// replicas share them. While Redis is away or slow each replica counts for itself, so that nobody is kept out for it.
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

// ErrTooMany says that a limit is used up. What is left of the window is its advice to wait.
var ErrTooMany = fault.New(fault.RateLimited, "rate_limited", "Too many requests, try again later")

// Window is the time that a limit is for. It begins with somebody's first request.
const Window = time.Minute

// Quota is what is left of a limit.
type Quota struct {
	Limit, Remaining int
	// Exceeded says that this request is one too many.
	Exceeded bool
	// Reset is how long it takes until the whole limit is there again.
	Reset time.Duration
}

// Limiter counts.
type Limiter struct {
	redis redis.UniversalClient
	local *counts
}

// New prepares a Limiter on a client that fails fast, as stores.OpenRedis makes it.
func New(r redis.UniversalClient) *Limiter {
	return &Limiter{redis: r, local: &counts{windows: map[string]window{}}}
}

//go:embed count.lua
var countLua string

var countScript = redis.NewScript(countLua)

// Take counts one request of what by whom against a limit for each Window.
func (l *Limiter) Take(ctx context.Context, what, whom string, limit int) Quota {
	key := "rate:" + what + ":" + whom
	count, left, err := l.add(ctx, key)
	if err != nil {
		count, left = l.local.add(key, time.Now())
	}
	return Quota{Limit: limit, Remaining: max(0, limit-count), Exceeded: count > limit, Reset: left}
}

// add counts in Redis.
func (l *Limiter) add(ctx context.Context, key string) (count int, left time.Duration, err error) {
	said, err := countScript.Run(ctx, l.redis, []string{key}, Window.Milliseconds()).Int64Slice()
	if err != nil {
		return 0, 0, err
	}
	return int(said[0]), time.Duration(said[1]) * time.Millisecond, nil
}

// maxCounts bounds the memory of counting here, to about 10 MB.
const maxCounts = 50_000

// counts are those of this process alone.
type counts struct {
	mu      sync.Mutex
	windows map[string]window
}

type window struct {
	count int
	ends  time.Time
}

func (c *counts) add(key string, now time.Time) (count int, left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, known := c.windows[key]
	if !known && len(c.windows) >= maxCounts {
		clear(c.windows) // who has that many addresses is not held up by a limit for each of them
	}
	if !now.Before(w.ends) {
		w = window{ends: now.Add(Window)}
	}
	w.count++
	c.windows[key] = w
	return w.count, w.ends.Sub(now)
}

// Network is as whom an address is counted: itself or, in IPv6, its /64, all of which one client has to choose from.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, _ := ip.Prefix(64) // 64 is within the 128 bits of an IPv6 address
	return network.String()
}
