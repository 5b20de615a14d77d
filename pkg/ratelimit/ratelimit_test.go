package ratelimit

import (
	"context"
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
	replicas, client := []*Limiter{New(r), New(r)}, uuid.NewString()
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
	limiter, client, ctx := New(r), uuid.NewString(), context.Background()
	take := func() Quota { return limiter.Take(ctx, "test", client, 1) }
	take()
	if !take().Exceeded {
		t.Error("the second request is within a limit of 1")
	}
	key := "rate:test:" + client
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
	limiter, client := New(r), uuid.NewString()
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
		if count, left := c.add("a", start.Add(at.after)); count != at.count || left != at.left {
			t.Errorf("step %d: count %d, left %v", i, count, left)
		}
	}
	for i := range 3 * maxLocalCounts {
		c.add(strconv.Itoa(i), start)
	}
	if len(c.windows) > maxLocalCounts {
		t.Errorf("%d counts are kept", len(c.windows))
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64", "2001:db8:1:3::1": "2001:db8:1:3::/64",
		"::ffff:203.0.113.7": "::ffff:203.0.113.7", "": "",
	} {
		if got := Network(address); got != want {
			t.Errorf("the key of %s is %s, want %s", address, got, want)
		}
	}
}
