package doctor

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/stores"
)

// redis checks that Redis requires a password, evicts no data, and does not restore an old state.
func (r *Report) redis(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	client, err := stores.OpenRedis(stores.RedisConfig{URL: address})
	if err == nil {
		defer client.Close()
		err = client.Ping(ctx).Err()
	}
	if err != nil {
		r.add(wrong, "Redis cannot be used: "+err.Error(), "check that the server runs, that this machine can reach it within 150 ms, and that REDIS_URL has the right host and\npassword. Without Redis no confirmation is remembered")
		return
	}
	r.add(ok, "Redis answers", "")
	_, userinfo, _ := strings.Cut(address, "://")
	userinfo, _, hasPassword := strings.Cut(userinfo, "@")
	r.check(hasPassword && !strings.HasSuffix(userinfo, ":"), "Redis needs a password", "Redis needs no password",
		"set requirepass, or an ACL user, and put the password into REDIS_URL: anyone who can write to Redis can forge confirmations")

	settings, err := redisSettings(ctx, client)
	if err != nil {
		r.add(skipped, "the settings of Redis cannot be read: "+err.Error(), "check that maxmemory-policy is noeviction, and that save is empty or appendonly is yes")
		return
	}
	r.check(settings["maxmemory-policy"] == "noeviction", "Redis evicts nothing", "Redis evicts data when its memory is full: maxmemory-policy is "+settings["maxmemory-policy"],
		"set maxmemory-policy to noeviction, and give Redis enough memory. After a session is evicted, the person is asked for the PIN again;\nafter a counter is evicted, more guesses reach Postgres")
	r.check(settings["save"] == "" || settings["appendonly"] == "yes", "Redis restores no old state", "Redis restores a state that may be minutes old after a restart: it keeps only snapshots (save "+settings["save"]+")",
		`set save to "" (then people confirm again after a restart), or set appendonly to yes. Otherwise a restart restores ended sessions`)
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
