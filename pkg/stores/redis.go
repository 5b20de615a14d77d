package stores

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// RedisConfig is the part of a service's configuration that concerns Redis.
type RedisConfig struct {
	// URL is redis:// or rediss:// for one server, redis+sentinel:// or redis+cluster:// for several, with further
	// addresses as ?addr=host:port. It may hold a password.
	URL string `envconfig:"REDIS_URL"`
}

const (
	// redisTime is how long Redis may take over one command. What it holds can be done without, so waiting is worse.
	redisTime = 150 * time.Millisecond
	// After tripAfter failures in a row Redis is not asked for tripTime.
	tripAfter = 3
	tripTime  = time.Second
)

// ErrRedisURL says that REDIS_URL cannot be read. It never repeats it.
var ErrRedisURL = errors.New("REDIS_URL is not a redis://, rediss://, redis+sentinel:// or redis+cluster:// URL")

// OpenRedis prepares a client for one server, Sentinel or Cluster, by the URL's scheme. No command is retried (a script
// that counts must not run twice), none takes longer than 150 ms, and while Redis keeps failing it is left alone.
func OpenRedis(c RedisConfig) (redis.UniversalClient, error) {
	if c.URL == "" {
		return nil, errors.New("REDIS_URL is not set")
	}
	options, err := universal(c.URL)
	if err != nil {
		return nil, ErrRedisURL // the cause may quote the password
	}
	redis.SetLogger(silent{})
	options.MaxRetries, options.DialerRetries = -1, 1
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = redisTime, redisTime, redisTime, redisTime
	options.ContextTimeoutEnabled = true
	options.DisableIdentity = true
	client := redis.NewUniversalClient(options)
	client.AddHook(newBreaker())
	return client, nil
}

// silent drops go-redis's own log lines: every failure also comes back to the caller, who knows what it means.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func universal(url string) (*redis.UniversalOptions, error) {
	switch scheme, rest, _ := strings.Cut(url, "://"); scheme {
	case "redis+cluster":
		o, err := redis.ParseClusterURL("redis://" + rest)
		if err != nil {
			return nil, err
		}
		return &redis.UniversalOptions{Addrs: o.Addrs, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, IsClusterMode: true}, nil
	case "redis+sentinel":
		o, err := redis.ParseFailoverURL("redis://" + rest)
		if err != nil {
			return nil, err
		}
		return &redis.UniversalOptions{Addrs: o.SentinelAddrs, MasterName: o.MasterName, Username: o.Username, Password: o.Password,
			SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword, DB: o.DB, TLSConfig: o.TLSConfig}, nil
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig}, nil
}

// breaker is a go-redis hook: every command passes through it, so that no caller has to remember to.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
}

func newBreaker() breaker {
	return breaker{gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         "redis",
		Timeout:      tripTime,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		IsSuccessful: func(err error) bool { return err == nil || answered(err) },
	})}
}

// answered reports whether an error is Redis's own word, and not its absence. A client that hung up says nothing about
// Redis either.
func answered(err error) bool {
	var said redis.Error
	return errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) ||
		errors.As(err, &said) && !strings.HasPrefix(said.Error(), "LOADING") && !strings.HasPrefix(said.Error(), "READONLY")
}

func (b breaker) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (b breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return b.guard(ctx, func(ctx context.Context) error { return next(ctx, cmd) }, cmd)
	}
}

func (b breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return b.guard(ctx, func(ctx context.Context) error { return next(ctx, cmds) }, cmds...)
	}
}

// greeting marks the context of a command that is being guarded. A command that needs a new connection makes the client
// send others first, to greet the server; they pass these hooks too, and must not ask for a turn that the first has.
type greeting struct{}

func (b breaker) guard(ctx context.Context, do func(context.Context) error, cmds ...redis.Cmder) error {
	if ctx.Value(greeting{}) != nil {
		return do(ctx)
	}
	ctx = context.WithValue(ctx, greeting{}, true)
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, do(ctx) })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		err = fmt.Errorf("redis is left alone for a moment: %w", err)
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	return err
}
