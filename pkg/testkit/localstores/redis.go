package localstores

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

const askRedisWithin = time.Second

// StartRedis starts a Redis and returns when it answers. It writes nothing to the disk: what Countersign keeps there
// may be lost. The error is ErrMissing when the machine has no Redis, ErrPortTaken when the port is not free.
func StartRedis(ctx context.Context, o Options) (*Server, error) {
	bin, err := findRedis()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	at, err := openPlace(o.Folder, "redis", as)
	if err != nil {
		return nil, err
	}
	pidFile := filepath.Join(at.data, "redis.pid")
	// Redis shows the name it was called by in place of its command line, so that name tells whose it is.
	name := filepath.Join(at.data, "redis-server")
	s, err := program{
		name: "Redis",
		leftover: func(ctx context.Context, at place) error {
			return child.EndLeftover(ctx, pidFile, name, syscall.SIGKILL, stopWithin)
		},
		launch: func(at place, port int) (*child.Process, error) {
			cmd := at.as.command(bin, "-")
			cmd.Args[0] = name
			cmd.Stdin = strings.NewReader(redisConfig(at, port, pidFile, o.RedisSettings))
			return child.StartLogged(cmd, at.log(), syscall.SIGKILL)
		},
		ask:  askRedis,
		url:  url.URL{Scheme: "redis", User: url.UserPassword("", at.password), Path: "/0"},
		stop: syscall.SIGKILL,
	}.start(ctx, at, o.Port)
	if err != nil {
		return nil, errors.Join(err, at.clear())
	}
	return s, nil
}

// redisConfig is read from standard input, because what stands on a command line every user of the machine can read.
func redisConfig(at place, port int, pidFile string, more []string) string {
	return strings.Join(append([]string{
		"bind 127.0.0.1",
		"port " + strconv.Itoa(port),
		"requirepass " + at.password,
		"dir " + strconv.Quote(at.data),
		"pidfile " + strconv.Quote(pidFile),
		`save ""`,
		"appendonly no",
		"maxmemory-policy noeviction",
	}, more...), "\n") + "\n"
}

func askRedis(ctx context.Context, at *url.URL) error {
	conn, err := (&net.Dialer{Timeout: askRedisWithin}).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askRedisWithin)); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	password, _ := at.User.Password()
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	answers := bufio.NewReader(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		got, err := answers.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if strings.TrimSpace(got) != want {
			return errors.New("it is not the one we started")
		}
	}
	return nil
}
