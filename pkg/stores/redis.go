package stores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// RedisConfig is the part of a service's configuration that concerns Redis.
type RedisConfig struct {
	// URL is redis:// or rediss:// for one server, and redis+sentinel:// or redis+cluster:// for several servers. Each
	// further server is a parameter addr=host:port. The URL may contain a password.
	URL string `envconfig:"REDIS_URL"`
}

// Validate returns an error if URL is missing or cannot be parsed. The error does not contain the URL.
func (c RedisConfig) Validate() error {
	_, err := c.parse()
	return err
}

const (
	// redisTimeout is the longest time for one command. It is short, because every caller can continue without Redis.
	redisTimeout = 150 * time.Millisecond
	// After breakerFailures failures in a row, no command is sent to Redis for breakerPause.
	breakerFailures = 3
	breakerPause    = time.Second
)

// ErrRedisURL says that REDIS_URL cannot be parsed. It does not contain the URL, because the URL may contain a password.
var ErrRedisURL = errors.New("REDIS_URL is not a redis://, rediss://, redis+sentinel:// or redis+cluster:// URL")

// OpenRedis prepares a client for one server, Sentinel or Cluster, depending on the URL's scheme. It does not connect. A
// command is never retried, because a script that counts must not run twice. A command fails after 150 ms, and fails at once
// for a second after three failures in a row. The error is ErrRedisURL if the URL cannot be parsed.
func OpenRedis(c RedisConfig) (redis.UniversalClient, error) {
	options, err := c.parse()
	if err != nil {
		return nil, err
	}
	redis.SetLogger(noLog{})
	options.MaxRetries, options.DialerRetries = -1, 1
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = redisTimeout, redisTimeout, redisTimeout, redisTimeout
	options.ContextTimeoutEnabled = true
	options.DisableIdentity = true
	client := redis.NewUniversalClient(options)
	client.AddHook(newBreaker())
	return client, nil
}

func (c RedisConfig) parse() (*redis.UniversalOptions, error) {
	if c.URL == "" {
		return nil, errors.New("REDIS_URL is not set")
	}
	options, err := universalOptions(c.URL)
	if err != nil {
		return nil, ErrRedisURL // the cause may contain the password
	}
	return options, nil
}

// noLog discards the log lines of go-redis. Each failure is also returned to the caller, which handles it.
type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

func universalOptions(url string) (*redis.UniversalOptions, error) {
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

// breaker is a circuit breaker. It is a go-redis hook, so every command passes through it.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
}

func newBreaker() breaker {
	return breaker{gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         "redis",
		Timeout:      breakerPause,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool { return err == nil || redisAnswered(err) },
	})}
}

// redisAnswered reports whether the server works although the command failed: the server answered with an error, or the client
// cancelled the request. It returns false for a server that is loading its data or is a read-only replica.
func redisAnswered(err error) bool {
	var answer redis.Error
	return errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) ||
		errors.As(err, &answer) && !strings.HasPrefix(answer.Error(), "LOADING") && !strings.HasPrefix(answer.Error(), "READONLY")
}

func (b breaker) DialHook(next redis.DialHook) redis.DialHook { return next }

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

// guarded marks the context of a command that has passed the breaker. If the command needs a new connection, the client first
// sends other commands, such as HELLO. They pass these hooks too, and must not count as further calls.
type guarded struct{}

func (b breaker) guard(ctx context.Context, do func(context.Context) error, cmds ...redis.Cmder) error {
	if ctx.Value(guarded{}) != nil {
		return do(ctx)
	}
	ctx = context.WithValue(ctx, guarded{}, true)
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, do(ctx) })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		err = fmt.Errorf("redis failed several times, so no command is sent to it for a moment: %w", err)
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	if errors.Is(err, io.EOF) { // Redis closed the connection
		err = errClosed("read")
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	return err
}
