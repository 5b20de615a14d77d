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

	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// A fault of Redis exists while guesses arrive. Exactly five guesses are compared, and all guesses are answered quickly.
func TestRedisFaults(t *testing.T) {
	for _, fault := range []struct {
		name string
		// start starts the fault. end ends it.
		start func(*stack) (end func())
	}{
		{"flushed", func(s *stack) func() {
			client := redisClient(s.t, s.redis.URL)
			return repeat(func() { client.FlushAll(context.Background()) })
		}},
		{"killed", func(s *stack) func() { s.redis.Stop(); return s.redis.Start }},
		{"restarted", func(s *stack) func() {
			return repeat(func() { s.redis.Stop(); s.redis.Start(); time.Sleep(50 * time.Millisecond) })
		}},
		{"frozen", func(s *stack) func() { s.redis.Pause(); return s.redis.Resume }},
		{"delay of two seconds", func(s *stack) func() {
			addFault(s.t, s.toRedis, `{"type": "latency", "attributes": {"latency": 2000}}`)
			return func() { s.toRedis.Toxics.ResetToxics(context.Background()) }
		}},
		{"no data", func(s *stack) func() {
			addFault(s.t, s.toRedis, `{"type": "timeout", "attributes": {"timeout": 0}}`)
			return func() { s.toRedis.Toxics.ResetToxics(context.Background()) }
		}},
		{"every connection closed", func(s *stack) func() {
			return repeat(func() {
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
			r := s.guessInParallel(before, func(int) map[string]any { return s.withPIN(wrong) })
			end := fault.start(s)
			r.add(s.guessInParallel(1000, func(int) map[string]any { return s.withPIN(wrong) }))
			end()
			r.add(s.guessInParallel(200, func(int) map[string]any { return s.withPIN(wrong) }))
			s.checkBudget(r, s.comparisons(), true)
			if p99 := r.p99(); p99 >= time.Second {
				t.Errorf("the p99 is %s, want less than 1 s", p99)
			}
			if r.unanswered() > 0 || r.verified() > 0 {
				t.Errorf("%d requests unanswered, %d right", r.unanswered(), r.verified())
			}
		})
	}
}

// A second Redis takes over. It has the lock, but not the unlock. The holder must not stay locked out.
func TestRedisFailoverLosesAnUnlock(t *testing.T) {
	ctx := context.Background()
	s := newStack(t, 3)
	next := storetest.OwnRedis(t)
	second := redisClient(t, next.URL)
	first := mustParseURL(s.redis.URL)
	password, _ := first.User.Password()
	must(t, second.Do(ctx, "CONFIG", "SET", "masterauth", password).Err())
	must(t, redisClient(t, s.redis.URL).Del(ctx, s.lockKey()).Err()) // "open" since the PIN was set
	r := s.guessInParallel(100, func(int) map[string]any { return s.withPIN(wrong) })
	must(t, second.Do(ctx, "REPLICAOF", first.Hostname(), first.Port()).Err())
	for end := time.Now().Add(10 * time.Second); second.Exists(ctx, s.lockKey()).Val() == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second server does not have the lock")
		}
		r.add(s.guessInParallel(3, func(int) map[string]any { return s.withPIN(wrong) })) // keeps the lock key
	}
	must(t, second.Do(ctx, "REPLICAOF", "NO", "ONE").Err())
	s.checkBudget(r, s.comparisons(), true)
	_, err := s.admin.Unlock(ctx, s.holder())
	must(t, err)
	// The services use the password of the first server.
	must(t, second.Do(ctx, "CONFIG", "SET", "requirepass", password).Err())
	must(t, s.toRedis.Update(&toxiproxy.Proxy{Listen: s.toRedis.Listen, Upstream: mustParseURL(next.URL).Host, Enabled: true}))
	s.redis.Stop()
	for i, at := range s.replicas {
		for end := time.Now().Add(10 * time.Second); !s.guess(at, s.withPIN(right)).verified; {
			if time.Now().After(end) {
				t.Fatalf("replica %d still refuses the right PIN", i)
			}
		}
	}
}

func redisClient(t *testing.T, address string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(address)
	must(t, err)
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// Of three masters, the master with the holder's slot is killed.
func TestRedisClusterLosesAMaster(t *testing.T) {
	ctx := context.Background()
	var nodes []*redis.Client
	var servers []*storetest.RedisServer
	for range 3 {
		server := storetest.OwnRedis(t, "cluster-enabled yes")
		servers, nodes = append(servers, server), append(nodes, redisClient(t, server.URL))
	}
	password, _ := mustParseURL(servers[0].URL).User.Password()
	address := url.URL{Scheme: "redis+cluster", User: url.UserPassword(schema.RolePinInternal, password), Host: mustParseURL(servers[0].URL).Host}
	for i, node := range nodes {
		must(t, node.ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err())
		at := mustParseURL(servers[i].URL)
		must(t, nodes[0].ClusterMeet(ctx, at.Hostname(), at.Port()).Err())
		address.RawQuery += "&addr=" + at.Host
		must(t, redisuser.Create(ctx, node, schema.RolePinInternal, password, redisuser.Rules(schema.RolePinInternal)))
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if info := nodes[2].ClusterInfo(ctx).Val(); strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:3") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the cluster is not complete after 20 seconds")
		}
	}
	s := newStack(t, 0)
	s.redisURL = address.String()
	for range 3 {
		s.replicas = append(s.replicas, s.start("pin-internal"))
	}
	r := s.guessInParallel(budget, func(int) map[string]any { return s.withPIN(wrong) })
	slot := nodes[0].ClusterKeySlot(ctx, s.lockKey()).Val()
	owner := int(slot * 3 / 16384)
	for end := time.Now().Add(10 * time.Second); nodes[owner].Exists(ctx, s.lockKey()).Val() == 0; {
		if time.Now().After(end) {
			t.Fatalf("the master with slot %d does not have the lock key", slot)
		}
		r.add(s.guessInParallel(3, func(int) map[string]any { return s.withPIN(wrong) })) // the replicas remember the refusal
	}
	killed := make(chan struct{})
	go func() { time.Sleep(20 * time.Millisecond); servers[owner].Stop(); close(killed) }()
	r.add(s.guessInParallel(1000, func(int) map[string]any { return s.withPIN(wrong) }))
	<-killed
	r.add(s.guessInParallel(200, func(int) map[string]any { return s.withPIN(wrong) }))
	s.checkBudget(r, s.comparisons(), true)
	if p99 := r.p99(); p99 >= time.Second {
		t.Errorf("the p99 is %s, want less than 1 s", p99)
	}
}
