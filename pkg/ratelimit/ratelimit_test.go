package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// takeAtOnce calls Take n times in parallel, on several limiters, and returns how many requests were within the limit.
func takeAtOnce(limiters []*Limiter, n, limit int, client string) int {
	var within sync.Map
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			if !limiters[i%len(limiters)].Take(context.Background(), "test", client, limit).Exceeded {
				within.Store(i, true)
			}
		})
	}
	wait.Wait()
	count := 0
	within.Range(func(any, any) bool { count++; return true })
	return count
}

func TestReplicasShareALimit(t *testing.T) {
	t.Parallel()
	r := storetest.RedisClient(t, storetest.Redis(t))
	replicas, client := []*Limiter{New(r, "x"), New(r, "x")}, uuid.NewString()
	if got := takeAtOnce(replicas, 50, 7, client); got != 7 {
		t.Errorf("%d requests were within a limit of 7", got)
	}
	if got := takeAtOnce(replicas, 5, 7, uuid.NewString()); got != 5 {
		t.Errorf("another client: %d of 5 requests were within the limit", got)
	}
	q := replicas[0].Take(context.Background(), "test", client, 60)
	if q.Limit != 60 || q.Remaining != 60-51 || q.Exceeded || q.Reset <= 0 || q.Reset > Window {
		t.Errorf("got %+v", q)
	}
	q = replicas[0].Take(context.Background(), "another test", client, 60)
	if q.Remaining != 59 {
		t.Errorf("another limit for the same client: %+v", q)
	}
}

func TestWindowEnds(t *testing.T) {
	t.Parallel()
	r := storetest.RedisClient(t, storetest.Redis(t))
	limiter, client, ctx := New(r, "x"), uuid.NewString(), context.Background()
	take := func() Quota { return limiter.Take(ctx, "test", client, 1) }
	take()
	if !take().Exceeded {
		t.Error("the second request is within a limit of 1")
	}
	key := "rate:x:test:" + client
	if left := r.PTTL(ctx, key).Val(); left <= 0 || left > Window {
		t.Errorf("the window ends in %v, want at most %v", left, Window)
	}
	r.Persist(ctx, key) // as if Redis had failed between the two commands of the script
	if q := take(); q.Reset != Window || r.PTTL(ctx, key).Val() <= 0 {
		t.Errorf("a count without an end: %+v", q)
	}
	r.Del(ctx, key) // Redis does this at the end of the window
	if take().Exceeded {
		t.Error("the first request of the next window is refused")
	}
}

func TestEachReplicaCountsWithoutRedis(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	r, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	limiter, client := New(r, "x"), uuid.NewString()
	server.Pause()
	if got := takeAtOnce([]*Limiter{limiter}, 50, 7, client); got != 7 {
		t.Errorf("frozen Redis: %d requests were within a limit of 7", got)
	}
	server.Resume()
	server.Stop()
	if q := limiter.Take(context.Background(), "test", client, 7); !q.Exceeded || q.Reset <= 0 || q.Reset > Window {
		t.Errorf("stopped Redis: %+v", q)
	}
}

func TestLocalCounts(t *testing.T) {
	t.Parallel()
	c, start := &localCounts{windows: map[string]window{}}, time.Now()
	for i, at := range []struct {
		after time.Duration
		count int
		left  time.Duration
	}{{0, 1, Window}, {Window - time.Second, 2, time.Second}, {Window, 1, Window}, {Window + time.Second, 2, Window - time.Second}} {
		if states := c.add([]count{{"a", 10}}, start.Add(at.after)); len(states) != 1 || states[0] != (state{at.count, at.left}) {
			t.Errorf("step %d: %v", i, states)
		}
	}
	for i := range 3 * maxLocalCounts {
		c.add([]count{{strconv.Itoa(i), 10}}, start)
	}
	if len(c.windows) > maxLocalCounts {
		t.Errorf("%d counts are kept", len(c.windows))
	}
}

// A client sends 50 requests from each of its networks. Redis and the counts in memory give the same answers.
func TestIPv6IsLimitedBy64And56And48(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	r, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	limiter := New(r, "x")
	for _, kind := range []string{"Redis", "memory"} {
		if kind == "memory" {
			server.Stop()
		}
		passed := func(prefix string) int {
			within := 0
			for range 50 {
				if !limiter.TakeAddress(t.Context(), kind, prefix+"::1", 5).Exceeded {
					within++
				}
			}
			return within
		}
		for _, rule := range []struct {
			prefix string
			want   int
			name   string
		}{
			{"2001:db8:1:0", 5, "the limit of a /64"},
			{"2001:db8:1:1", 5, "a /64 that is over its limit leaves the rest of its /56 to its neighbours"},
			{"2001:db8:1:2", 5, "the third /64"},
			{"2001:db8:1:3", 5, "the fourth /64"},
			{"2001:db8:1:4", 0, "a /56 has 4 times the limit"},
			{"2001:db8:1:ff", 0, "the same /56"},
			{"2001:db8:1:100", 5, "another /56"},
			{"2001:db8:1:101", 5, ""}, {"2001:db8:1:102", 5, ""}, {"2001:db8:1:103", 5, ""},
			{"2001:db8:1:200", 5, ""}, {"2001:db8:1:201", 5, ""}, {"2001:db8:1:202", 5, ""}, {"2001:db8:1:203", 5, ""},
			{"2001:db8:1:300", 5, ""}, {"2001:db8:1:301", 5, ""}, {"2001:db8:1:302", 5, ""}, {"2001:db8:1:303", 5, ""},
			{"2001:db8:1:400", 0, "a /48 has 16 times the limit"},
			{"2001:db8:2:0", 5, "another /48"},
		} {
			if got := passed(rule.prefix); got != rule.want {
				t.Errorf("%s, %s %s: %d requests were within the limit, want %d", kind, rule.prefix, rule.name, got, rule.want)
			}
		}
		if q := limiter.TakeAddress(t.Context(), kind, "203.0.113.7", 5); q.Limit != 5 || q.Remaining != 4 || q.Exceeded {
			t.Errorf("%s, IPv4: %+v", kind, q)
		}
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.7":            "[203.0.113.7]",
		"2001:db8:1:2fe:3:4:5:6": "[2001:db8:1:2fe::/64 2001:db8:1:200::/56 2001:db8:1::/48]",
		"2001:db8:1:2ff::":       "[2001:db8:1:2ff::/64 2001:db8:1:200::/56 2001:db8:1::/48]",
		"2001:db8:1:300::1":      "[2001:db8:1:300::/64 2001:db8:1:300::/56 2001:db8:1::/48]",
		"::1":                    "[::/64 ::/56 ::/48]",
		"::ffff:203.0.113.7":     "[::ffff:203.0.113.7]",
		"":                       "[]",
		"no address":             "[no address]",
	} {
		if got := fmt.Sprint(Networks(address)); got != want {
			t.Errorf("the networks of %s are %s, want %s", address, got, want)
		}
	}
}
