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

const pingRedisTimeout = time.Second

// StartRedis starts a Redis and returns when it answers. The server writes nothing to the disk, because Countersign may lose
// all data in Redis. StartRedis returns ErrMissing if Redis is not installed, and ErrPortTaken if the port is not free.
func StartRedis(ctx context.Context, o Options) (*Server, error) {
	bin, err := findRedis()
	if err != nil {
		return nil, err
	}
	runAs, err := serverAccount()
	if err != nil {
		return nil, err
	}
	at, err := openPlace(o.Folder, "redis", runAs)
	if err != nil {
		return nil, err
	}
	pidFile := filepath.Join(at.data, "redis.pid")
	// Redis replaces its command line by the name that it was started with. EndLeftover recognizes the server by this name.
	name := filepath.Join(at.data, "redis-server")
	s, err := program{
		name: "Redis",
		endLeftover: func(ctx context.Context, at place) error {
			return child.EndLeftover(ctx, pidFile, name, syscall.SIGKILL, stopTimeout)
		},
		launch: func(at place, port int) (*child.Process, error) {
			cmd := at.runAs.command(bin, "-")
			cmd.Args[0] = name
			cmd.Stdin = strings.NewReader(redisConfig(at, port, pidFile, o.RedisSettings))
			return child.StartLogged(cmd, at.log(), syscall.SIGKILL)
		},
		ping:       pingRedis,
		url:        url.URL{Scheme: "redis", User: url.UserPassword("default", at.password), Path: "/0"}, // redis-cli refuses an empty user
		stopSignal: syscall.SIGKILL,
	}.start(ctx, at, o.Port)
	if err != nil {
		return nil, errors.Join(err, at.clear())
	}
	return s, nil
}

// redisConfig returns the configuration. Redis reads it from standard input, because every user of the machine can read a
// command line.
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

func pingRedis(ctx context.Context, address *url.URL) error {
	conn, err := (&net.Dialer{Timeout: pingRedisTimeout}).DialContext(ctx, "tcp", address.Host)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(pingRedisTimeout)); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	password, _ := address.User.Password()
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password); err != nil {
		return fmt.Errorf("sending PING: %w", err)
	}
	answers := bufio.NewReader(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		got, err := answers.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if strings.TrimSpace(got) != want {
			return errors.New("another program answers on the port")
		}
	}
	return nil
}
