//go:build attack

package attack

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// Whatever happens to Redis in the middle of a storm: exactly five, nothing hangs, and nobody waits for it.
func TestRedis(t *testing.T) {
	for _, fault := range []struct {
		name string
		// happen makes the fault and returns what ends it.
		happen func(*stack) (end func())
	}{
		{"flushed", func(s *stack) func() {
			redis := direct(s.t, s.redis.URL)
			return always(func() { redis.FlushAll(context.Background()) })
		}},
		{"killed", func(s *stack) func() { s.redis.Stop(); return s.redis.Start }},
		{"restarted", func(s *stack) func() {
			return always(func() { s.redis.Stop(); s.redis.Start(); time.Sleep(50 * time.Millisecond) })
		}},
		{"frozen", func(s *stack) func() { s.redis.Pause(); return s.redis.Resume }},
		{"two seconds late", func(s *stack) func() {
			toxic(s.t, s.toRedis, `{"type": "latency", "attributes": {"latency": 2000}}`)
			return func() { s.toRedis.Toxics.ResetToxics(context.Background()) }
		}},
		{"half open", func(s *stack) func() {
			toxic(s.t, s.toRedis, `{"type": "timeout", "attributes": {"timeout": 0}}`)
			return func() { s.toRedis.Toxics.ResetToxics(context.Background()) }
		}},
		{"cut", func(s *stack) func() {
			return always(func() {
				s.toRedis.Stop()
				time.Sleep(20 * time.Millisecond)
				_ = s.toRedis.Start()
				time.Sleep(20 * time.Millisecond)
			})
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			s := newStack(t, 3)
			before := s.random.IntN(budget)
			r := s.storm(before, func(int) map[string]any { return s.typing(wrong) })
			end := fault.happen(s)
			r.add(s.storm(1000, func(int) map[string]any { return s.typing(wrong) }))
			end()
			r.add(s.storm(200, func(int) map[string]any { return s.typing(wrong) }))
			s.holds(r, s.comparisons(), true)
			if p99 := r.p99(); p99 >= time.Second {
				t.Errorf("p99 is %s", p99)
			}
			if r.lost() > 0 || r.rights() > 0 {
				t.Errorf("%d unanswered, %d right", r.lost(), r.rights())
			}
		})
	}
}

// The second server takes over, which has not seen the last guesses.
func TestRedisFailsOverAndLosesWrites(t *testing.T) {
	ctx := context.Background()
	s := newStack(t, 3)
	next := storetest.OwnRedis(t)
	to := direct(t, next.URL)
	first := parsed(s.redis.URL)
	password, _ := first.User.Password()
	must(t, to.Do(ctx, "CONFIG", "SET", "masterauth", password).Err())
	must(t, to.Do(ctx, "REPLICAOF", first.Hostname(), first.Port()).Err())
	r := s.storm(2, func(int) map[string]any { return s.typing(wrong) })
	key := "pin:{" + s.identity.String() + "}:budget"
	for end := time.Now().Add(10 * time.Second); to.Exists(ctx, key).Val() == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second server does not follow the first")
		}
	}
	must(t, to.Do(ctx, "REPLICAOF", "NO", "ONE").Err())
	r.add(s.storm(s.random.IntN(4), func(int) map[string]any { return s.typing(wrong) }))
	// The password belongs to the server, and the services keep theirs.
	must(t, to.Do(ctx, "CONFIG", "SET", "requirepass", password).Err())
	must(t, s.toRedis.Update(&toxiproxy.Proxy{Listen: s.toRedis.Listen, Upstream: parsed(next.URL).Host, Enabled: true}))
	s.redis.Stop()
	r.add(s.storm(1000, func(int) map[string]any { return s.typing(wrong) }))
	s.holds(r, s.comparisons(), true)
	if _, err := to.HGet(ctx, key, "count").Int(); err != nil {
		t.Errorf("the second server was not asked: %v", err)
	}
}

func direct(t *testing.T, address string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(address)
	must(t, err)
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// Three masters, and the one that has the holder's slot dies.
func TestRedisClusterLosesAMaster(t *testing.T) {
	ctx := context.Background()
	var nodes []*redis.Client
	var servers []*storetest.RedisServer
	for range 3 {
		server := storetest.OwnRedis(t, "cluster-enabled yes")
		servers, nodes = append(servers, server), append(nodes, direct(t, server.URL))
	}
	password, _ := parsed(servers[0].URL).User.Password()
	address := url.URL{Scheme: "redis+cluster", User: url.UserPassword("", password), Host: parsed(servers[0].URL).Host}
	for i, node := range nodes {
		must(t, node.ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err())
		at := parsed(servers[i].URL)
		must(t, nodes[0].ClusterMeet(ctx, at.Hostname(), at.Port()).Err())
		address.RawQuery += "&addr=" + at.Host
		must(t, node.Do(ctx, "CONFIG", "SET", "requirepass", password).Err())
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if ok := nodes[2].ClusterInfo(ctx).Val(); strings.Contains(ok, "cluster_state:ok") && strings.Contains(ok, "cluster_size:3") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the cluster does not come together")
		}
	}
	s := newStack(t, 0)
	s.redisURL = address.String()
	for range 3 {
		s.replicas = append(s.replicas, s.start("pin-internal"))
	}
	r := s.storm(2, func(int) map[string]any { return s.typing(wrong) })
	key := "pin:{" + s.identity.String() + "}:budget"
	slot := nodes[0].ClusterKeySlot(ctx, key).Val()
	owner := int(slot * 3 / 16384)
	if nodes[owner].Exists(ctx, key).Val() != 1 {
		t.Fatalf("the guesses are not counted at the owner of slot %d", slot)
	}
	died := make(chan struct{})
	go func() { time.Sleep(20 * time.Millisecond); servers[owner].Stop(); close(died) }()
	r.add(s.storm(1000, func(int) map[string]any { return s.typing(wrong) }))
	<-died
	r.add(s.storm(200, func(int) map[string]any { return s.typing(wrong) }))
	s.holds(r, s.comparisons(), true)
	if p99 := r.p99(); p99 >= time.Second {
		t.Errorf("p99 is %s", p99)
	}
}
