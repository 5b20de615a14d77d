// Package redisuser has the user of each service in Redis, and what it may do there. A user has the name of the service's Postgres
// role. The administrator is the user "default" or the user of an own Redis; no service uses it.
// The design: docs/decisions/0018.
package redisuser

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/schema"
)

// common are the commands that every service needs: to connect, to report that it is ready, to find the servers of a Redis Cluster,
// and to run a script. Redis also checks each key and each command that a script uses.
const common = "+hello +auth +select +ping +command +cluster|slots +cluster|shards +cluster|nodes +asking +eval +evalsha"

// rules are the Redis ACL rules of each user. A service has no command that lists keys, reads settings or deletes all data.
var rules = map[string]string{
	schema.RoleAuth: "~rate:auth:* +incr +pttl +pexpire",
	schema.RolePinAdmin: "~rate:pin-admin:* +incr +pttl +pexpire " + // rate limits
		"~pin:* +get +set " + // lock keys
		"+mget +del +zrange +zrem " + // sessions
		"&pin:set &approval:changed +publish +subscribe +unsubscribe", // long polls
	schema.RolePinInternal: "~pin:* +get +set " + // lock keys and sessions
		"+del +time +zadd +zcard +zrange +zrem +zremrangebyrank +zremrangebyscore +pexpireat " +
		"&approval:changed +publish +subscribe +unsubscribe", // requests that wait for an answer
}

// Rules returns the Redis ACL rules of a service's user, without its password.
func Rules(role string) []string {
	return strings.Fields("on resetkeys resetchannels -@all " + common + " " + rules[role])
}

// File returns the content of an ACL file: the administrator "default" and the users of the services, by role. It contains hashes
// of the passwords.
func File(administrator string, passwords map[string]string) string {
	lines := []string{"user default on " + hash(administrator) + " ~* &* +@all"}
	for _, role := range schema.Roles {
		lines = append(lines, strings.Join(append([]string{"user", role, hash(passwords[role])}, Rules(role)...), " "))
	}
	return strings.Join(lines, "\n")
}

// hash is a password as an ACL rule. The passwords are random, so a plain SHA-256 suffices.
func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return "#" + hex.EncodeToString(sum[:])
}

// Create creates or replaces the user of a service with these rules, at every server of a Redis Cluster. client must be the
// administrator. Users that are created this way are lost when the server restarts.
func Create(ctx context.Context, client redis.UniversalClient, name, password string, rules []string) error {
	command := []any{"acl", "setuser", name, "reset", hash(password)}
	for _, rule := range rules {
		command = append(command, rule)
	}
	create := func(ctx context.Context, server *redis.Client) error { return server.Do(ctx, command...).Err() }
	var err error
	if cluster, ok := client.(*redis.ClusterClient); ok {
		err = cluster.ForEachShard(ctx, create)
	} else {
		err = client.Do(ctx, command...).Err()
	}
	if err != nil {
		return fmt.Errorf("creating the Redis user %s: %w", name, err)
	}
	return nil
}

// ErrURL says that a URL of Redis cannot be parsed. It does not contain the URL, because the URL may contain a password.
var ErrURL = errors.New("the URL of Redis cannot be parsed")

// URLAs replaces the user and the password of a URL of Redis. A redis+sentinel:// URL has them in its parameters, because the user
// before the host is the user of the sentinels.
func URLAs(address, name, password string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", ErrURL
	}
	if u.Scheme == "redis+sentinel" {
		q := u.Query()
		q.Set("username", name)
		q.Set("password", password)
		u.RawQuery = q.Encode()
		return u.String(), nil
	}
	u.User = url.UserPassword(name, password)
	return u.String(), nil
}
