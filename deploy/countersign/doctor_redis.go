package main

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/stores"
)

// redis looks whether Redis keeps what it was told, and only that.
func (r *report) redis(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	client, err := stores.OpenRedis(stores.RedisConfig{URL: address})
	if err == nil {
		defer client.Close()
		err = client.Ping(ctx).Err()
	}
	if err != nil {
		r.add(wrong, "Redis cannot be used: "+err.Error(), "see that the server runs and is to be reached from here, within 150 ms, and that REDIS_URL has the right host and\npassword; without it no confirmation is remembered")
		return
	}
	r.add(fine, "Redis answers", "")
	_, userinfo, _ := strings.Cut(address, "://")
	userinfo, _, hasPassword := strings.Cut(userinfo, "@")
	r.hold(hasPassword && !strings.HasSuffix(userinfo, ":"), "Redis asks for a password", "Redis asks for no password",
		"set requirepass, or an ACL user, and put it into REDIS_URL: whoever writes to it can make up confirmations")

	settings, err := redisSettings(ctx, client)
	if err != nil {
		r.add(skipped, "the settings of Redis: "+err.Error(), "see that maxmemory-policy is noeviction, and that save is empty or appendonly is yes")
		return
	}
	r.hold(settings["maxmemory-policy"] == "noeviction", "Redis evicts nothing", "Redis evicts what it has no room for: maxmemory-policy is "+settings["maxmemory-policy"],
		"set maxmemory-policy to noeviction, and give it memory: an evicted session asks a person again, and an evicted counter takes the shield\nfrom in front of Postgres")
	r.hold(settings["save"] == "" || settings["appendonly"] == "yes", "Redis does not come back with an old state", "Redis comes back with a state that may be minutes old: it keeps snapshots alone (save "+settings["save"]+")",
		`set save to "" (after a restart people confirm once more), or appendonly to yes: else sessions that were ended come back to life`)
}

func redisSettings(ctx context.Context, client redis.UniversalClient) (map[string]string, error) {
	settings := map[string]string{}
	for _, name := range []string{"maxmemory-policy", "save", "appendonly"} {
		values, err := client.ConfigGet(ctx, name).Result()
		if err != nil {
			return nil, err
		}
		settings[name] = values[name]
	}
	return settings, nil
}
