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

// storm takes n times at once, from several limiters, and returns how many were within the limit.
func storm(limiters []*Limiter, n, limit int, whom string) int {
	var within sync.Map
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			if !limiters[i%len(limiters)].Take(context.Background(), "test", whom, limit).Exceeded {
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
	client := storetest.PatientRedis(t, storetest.Redis(t))
	replicas, whom := []*Limiter{New(client), New(client)}, uuid.NewString()
	if got := storm(replicas, 50, 7, whom); got != 7 {
		t.Errorf("%d within a limit of 7", got)
	}
	if got := storm(replicas, 5, 7, uuid.NewString()); got != 5 {
		t.Errorf("%d of another's 5", got)
	}
	q := replicas[0].Take(context.Background(), "test", whom, 60)
	if q.Limit != 60 || q.Remaining != 60-51 || q.Exceeded || q.Reset <= 0 || q.Reset > Window {
		t.Errorf("got %+v", q)
	}
	q = replicas[0].Take(context.Background(), "another test", whom, 60)
	if q.Remaining != 59 {
		t.Errorf("another limit of the same client: %+v", q)
	}
}

func TestAWindowEnds(t *testing.T) {
	t.Parallel()
	client := storetest.PatientRedis(t, storetest.Redis(t))
	limiter, whom, ctx := New(client), uuid.NewString(), context.Background()
	take := func() Quota { return limiter.Take(ctx, "test", whom, 1) }
	take()
	if !take().Exceeded {
		t.Error("the second of a limit of 1 is within it")
	}
	key := "rate:test:" + whom
	if left := client.PTTL(ctx, key).Val(); left <= 0 || left > Window {
		t.Errorf("the window ends in %v", left)
	}
	client.Persist(ctx, key) // as if its end had been lost
	if q := take(); q.Reset != Window || client.PTTL(ctx, key).Val() <= 0 {
		t.Errorf("a count that never ends: %+v", q)
	}
	client.Del(ctx, key) // as its end does
	if take().Exceeded {
		t.Error("the first of the next window is one too many")
	}
}

func TestWithoutRedisEachReplicaCounts(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	client, err := stores.OpenRedis(stores.RedisConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	limiter, whom := New(client), uuid.NewString()
	server.Pause()
	if got := storm([]*Limiter{limiter}, 50, 7, whom); got != 7 {
		t.Errorf("frozen: %d within a limit of 7", got)
	}
	server.Resume()
	server.Stop()
	if q := limiter.Take(context.Background(), "test", whom, 7); !q.Exceeded || q.Reset <= 0 || q.Reset > Window {
		t.Errorf("gone: %+v", q)
	}
}

func TestCountingHere(t *testing.T) {
	t.Parallel()
	c, start := &counts{windows: map[string]window{}}, time.Now()
	for i, at := range []struct {
		after time.Duration
		count int
		left  time.Duration
	}{{0, 1, Window}, {Window - time.Second, 2, time.Second}, {Window, 1, Window}, {Window + time.Second, 2, Window - time.Second}} {
		if count, left := c.add("a", start.Add(at.after)); count != at.count || left != at.left {
			t.Errorf("step %d: count %d, left %v", i, count, left)
		}
	}
	for i := range 3 * maxCounts {
		c.add(strconv.Itoa(i), start)
	}
	if len(c.windows) > maxCounts {
		t.Errorf("%d are kept", len(c.windows))
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64", "2001:db8:1:3::1": "2001:db8:1:3::/64",
		"::ffff:203.0.113.7": "::ffff:203.0.113.7", "": "",
	} {
		if got := Network(address); got != want {
			t.Errorf("%s is counted as %s, want %s", address, got, want)
		}
	}
}
