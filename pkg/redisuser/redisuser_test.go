package redisuser_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// as returns a client of a service's user, on the Redis that all tests share.
func as(t *testing.T, role string) redis.UniversalClient {
	t.Helper()
	return storetest.RedisClient(t, storetest.RedisAs(t, storetest.Redis(t), role))
}

// Each package handles an error of Redis, so a missing rule would be visible in no other test. The API tests of the services run
// with these users too.
func TestUsersMayDoWhatTheirServiceNeeds(t *testing.T) {
	t.Parallel()
	administrator := storetest.RedisClient(t, storetest.Redis(t))
	for role, service := range map[string]string{schema.RoleAuth: "auth", schema.RolePinAdmin: "pin-admin"} {
		person := uuid.NewString()
		ratelimit.New(as(t, role), service).Take(t.Context(), "test", person, 1)
		if n, err := administrator.Get(t.Context(), "rate:"+service+":test:"+person).Int(); n != 1 {
			t.Errorf("%s counts %d requests in Redis, %v", service, n, err)
		}
	}
	tag := "pin:{" + uuid.NewString() + "}:"
	for role, allowed := range map[string][]string{
		schema.RolePinAdmin: {"set AT:lock open px 1000", "get AT:lock", "eval return(redis.call('set',KEYS[1],1)) 1 AT:lock", "zrange AT:sessions 0 -1",
			"mget AT:session:x AT:session:y", "del AT:session:x", "zrem AT:sessions x", "publish pin:set x", "publish approval:changed x", "ping"},
		schema.RolePinInternal: {"set AT:lock open px 1000", "get AT:lock", "get AT:session:x", "del AT:session:x", "zrem AT:sessions x", "publish approval:changed x", "ping"},
	} {
		for _, command := range allowed {
			if err := as(t, role).Do(t.Context(), words(strings.ReplaceAll(command, "AT:", tag))...).Err(); err != nil && !errors.Is(err, redis.Nil) {
				t.Errorf("%s: %s: %v", role, command, err)
			}
		}
	}
	ring, err := keyring.Parse(ringText)
	if err != nil {
		t.Fatal(err)
	}
	sessions := session.NewStore(session.Config{PerHolder: 1}, as(t, schema.RolePinInternal), ring, prometheus.NewRegistry())
	holder := uuid.New()
	for range 2 { // the second session ends the first
		if _, err := sessions.Create(t.Context(), session.Session{HolderID: holder, TTL: time.Minute}); err != nil {
			t.Error(err)
		}
	}
}

const ringText = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// words returns the arguments of a command.
func words(command string) (args []any) {
	for _, word := range strings.Fields(command) {
		args = append(args, word)
	}
	return args
}

func TestUsersMayDoNothingElse(t *testing.T) {
	t.Parallel()
	const session, lock, rate = "pin:{x}:session:y", "pin:{x}:lock", "rate:auth:login:x"
	for role, refused := range map[string][]string{
		schema.RoleAuth: {"get " + session, "set " + session + " x", "del " + session, "get " + lock, "incr pin:{x}:sessions", "incr rate:pin-admin:x",
			"eval return(redis.call('get',KEYS[1])) 1 " + session, "eval return(redis.call('get','" + session + "')) 0", "get " + rate, "publish pin:set x", "publish approval:changed x"},
		schema.RolePinAdmin:    {"incr " + rate, "publish other x", "subscribe other", "zadd pin:{x}:sessions 1 x"},
		schema.RolePinInternal: {"incr " + rate, "incr rate:pin-admin:x", "publish pin:set x", "subscribe pin:set"},
	} {
		client := as(t, role)
		for _, command := range append(refused, "flushall", "flushdb", "config get save", "config set save x", "keys *", "scan 0", "randomkey", "acl list",
			"acl setuser x", "client list", "monitor", "shutdown", "replicaof no one", "info", "script flush", "function list", "migrate a 1 b 0 1") {
			if err := client.Do(t.Context(), words(command)...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "The user executing the script") {
				t.Errorf("%s: %s: %v", role, command, err)
			}
		}
	}
}

// Each line of the file is a command without its first two words.
func TestACLFile(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	administrator := storetest.RedisClient(t, server.URL)
	top, _ := administrator.(*redis.Client)
	passwords := map[string]string{schema.RoleAuth: "one", schema.RolePinAdmin: "two", schema.RolePinInternal: "three"}
	content := redisuser.File(top.Options().Password, passwords)
	for _, password := range []string{top.Options().Password, "one", "two", "three"} {
		if strings.Contains(content, password) {
			t.Error("the file contains a password")
		}
	}
	for line := range strings.Lines(content) {
		command := append([]any{"acl", "setuser"}, words(line)[1:]...)
		if err := administrator.Do(t.Context(), command...).Err(); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	passwords["default"] = top.Options().Password
	for name, password := range passwords {
		for candidate, want := range map[string]bool{password: true, "another": false} {
			address, err := redisuser.URLAs(server.URL, name, candidate)
			if err != nil {
				t.Fatal(err)
			}
			if err := storetest.RedisClient(t, address).Ping(t.Context()).Err(); (err == nil) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := storetest.RedisClient(t, server.URL).FlushAll(t.Context()).Err(); err != nil {
		t.Errorf("the administrator: %v", err)
	}
}

func TestURLAs(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"redis://:top@h:1/2":               "redis://x:y@h:1/2",
		"rediss://h:1":                     "rediss://x:y@h:1",
		"redis+cluster://a:b@h:1?addr=i:2": "redis+cluster://x:y@h:1?addr=i:2",
		"redis+sentinel://s:t@h:1?master_name=m&password=top": "redis+sentinel://s:t@h:1?master_name=m&password=y&username=x",
	} {
		if got, err := redisuser.URLAs(address, "x", "y"); got != want {
			t.Errorf("%s: %s, %v", address, got, err)
		}
	}
	if _, err := redisuser.URLAs("redis://a b", "x", "y"); err == nil || strings.Contains(err.Error(), "a b") {
		t.Errorf("a malformed URL: %v", err)
	}
}

func TestRulesAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range schema.Roles {
		if line := "user " + role + " " + strings.Join(redisuser.Rules(role), " ") + "\n"; !strings.Contains(string(page), line) {
			t.Errorf("docs/operate.md has no line: %s", line)
		}
	}
}
