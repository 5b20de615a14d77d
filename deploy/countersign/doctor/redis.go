package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
)

// redis checks that Redis requires a password, evicts no data, does not restore an old state, and gives each service only what it
// needs.
func (r *Report) redis(ctx context.Context, c Config) {
	address := c.RedisURL
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
		"set requirepass, or an ACL user, and put the password into REDIS_URL: anyone who can write to Redis can end confirmations and reset rate limits")
	r.redisUsers(ctx, c, client)

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

// redisUsers checks that each service has its own user in Redis, that this user may do only what the service needs, and that no
// service uses the administrator's.
func (r *Report) redisUsers(ctx context.Context, c Config, administrator redis.UniversalClient) {
	passwords := map[string]string{schema.RoleAuth: c.AuthRedis, schema.RolePinAdmin: c.PinAdminRedis, schema.RolePinInternal: c.PinInternalRedis}
	for _, role := range schema.Roles {
		if passwords[role] == "" {
			r.add(skipped, "what "+role+" may do in Redis", "set AUTH_REDIS_PASSWORD, PIN_ADMIN_REDIS_PASSWORD and PIN_INTERNAL_REDIS_PASSWORD")
			continue
		}
		r.redisUser(ctx, c.RedisURL, role, passwords[role])
	}
	clients, err := administrator.ClientList(ctx).Result()
	if err != nil {
		r.add(skipped, "the connections to Redis cannot be read: "+err.Error(), "check that no service has the administrator's URL")
		return
	}
	n := administrators(clients)
	r.check(n == 0, "no service uses the administrator of Redis", fmt.Sprintf("%d connections use the administrator of Redis for more than a minute", n),
		"give each service a REDIS_URL with its own user: with the administrator's URL, a break-in at auth reaches every session.\nEnd other programs that use the administrator, for example redis-cli")
}

// redisUser checks one user: it can log in, it cannot read settings, and auth's user cannot read a session.
func (r *Report) redisUser(ctx context.Context, address, role, password string) {
	as, err := redisuser.URLAs(address, role, password)
	if err != nil {
		r.add(wrong, err.Error(), "correct REDIS_URL")
		return
	}
	client, err := stores.OpenRedis(stores.RedisConfig{URL: as})
	if err == nil {
		defer client.Close()
		err = client.Ping(ctx).Err()
	}
	if err != nil {
		r.add(wrong, "the Redis user "+role+" cannot log in: "+err.Error(), "create it with the rules of docs/operate.md, section \"Redis users\", at every server")
		return
	}
	refused := [][]any{{"config", "get", "save"}, {"client", "list"}, {"acl", "whoami"}}
	if role == schema.RoleAuth {
		refused = append(refused, []any{"get", "pin:{doctor}:session:doctor"}, []any{"get", "pin:{doctor}:lock"}, []any{"zrange", "pin:{doctor}:sessions", 0, -1})
	}
	var allowed []string
	for _, command := range refused {
		if err := client.Do(ctx, command...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			allowed = append(allowed, strings.TrimSpace(fmt.Sprintln(command...)))
		}
	}
	r.check(len(allowed) == 0, "the Redis user "+role+" may do only what its service needs", "the Redis user "+role+" may also do: "+strings.Join(allowed, ", "),
		"give it only the rules of docs/operate.md, section \"Redis users\"")
}

// administrators returns the number of connections in the answer to CLIENT LIST whose user is no service's, and that have been open
// for more than a minute. Connections of replicas and of sentinels do not count.
func administrators(clients string) (n int) {
	for line := range strings.Lines(clients) {
		field := map[string]string{}
		for _, text := range strings.Fields(line) {
			name, value, _ := strings.Cut(text, "=")
			field[name] = value
		}
		ofServer := strings.ContainsAny(field["flags"], "SM") || strings.HasPrefix(field["name"], "sentinel-")
		age, err := strconv.Atoi(field["age"])
		if err == nil && age > 60 && !slices.Contains(schema.Roles, field["user"]) && !ofServer {
			n++
		}
	}
	return n
}
