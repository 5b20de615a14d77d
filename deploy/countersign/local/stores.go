package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/deploy/countersign/secrets"
	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// databaseName is the name of the database if the stack starts its own Postgres.
const databaseName = "countersign"

// stackStores are the stores of the stack: the servers of DATABASE_URL and REDIS_URL, or servers that the stack starts.
type stackStores struct {
	databaseURL, redisURL string
	// redisUsers is true if each service has its own user in Redis. redisURL is the administrator's.
	redisUsers bool
	// servers are the servers that the stack started, by name.
	servers map[string]*localstores.Server
}

func openStores(ctx context.Context, dir folder.Folder, base int) (_ *stackStores, err error) {
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
		RedisURL    string `envconfig:"REDIS_URL"`
	}
	if err := service.Load(&cfg); err != nil {
		return nil, err
	}
	if err := localstores.Install(ctx, os.Stderr, cfg.DatabaseURL == "", cfg.RedisURL == ""); err != nil {
		return nil, err
	}
	s := &stackStores{databaseURL: cfg.DatabaseURL, redisURL: cfg.RedisURL, servers: map[string]*localstores.Server{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.databaseURL == "" {
		server, err := s.start(ctx, "Postgres", localstores.StartPostgres, dir, base+postgresOffset)
		if err != nil {
			return nil, err
		}
		if s.databaseURL, err = database.Create(ctx, server.URL, databaseName); err != nil {
			return nil, err
		}
	}
	if s.redisURL == "" {
		server, err := s.start(ctx, "Redis", localstores.StartRedis, dir, base+redisOffset)
		if err != nil {
			return nil, err
		}
		s.redisURL = server.URL
	}
	return s, nil
}

// createRedisUsers creates the users of the services in Redis. A Redis that the stack did not start may forbid that. Then the
// services use REDIS_URL as it is.
func (s *stackStores) createRedisUsers(ctx context.Context, kept secrets.Services, log io.Writer) error {
	client, err := stores.OpenRedis(stores.RedisConfig{URL: s.redisURL})
	if err != nil {
		return err
	}
	defer client.Close()
	for role, password := range kept.RedisPasswords() {
		err := createRedisUser(ctx, client, role, password)
		if err != nil && s.servers["Redis"] != nil {
			return err
		}
		if err != nil {
			fmt.Fprintf(log, "The Redis of REDIS_URL cannot get a user for each service (%v), so all services use REDIS_URL as it is. "+
				"A break-in at one service then reaches the data of the others in Redis.\n", err)
			return nil
		}
	}
	s.redisUsers = true
	return nil
}

// redisPatience is how long createRedisUser waits for an answer of Redis.
const redisPatience = 10 * time.Second

// createRedisUser creates the user of a service. It tries again until Redis answers, because client gives up each command after
// 150 ms, and a machine on which a whole stack starts may need longer.
func createRedisUser(ctx context.Context, client redis.UniversalClient, role, password string) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	for {
		err := redisuser.Create(ctx, client, role, password, redisuser.Rules(role))
		var refused redis.Error
		if err == nil || errors.As(err, &refused) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

type starter func(context.Context, localstores.Options) (*localstores.Server, error)

func (s *stackStores) start(ctx context.Context, name string, start starter, dir folder.Folder, port int) (*localstores.Server, error) {
	server, err := start(ctx, localstores.Options{Folder: string(dir), Port: port})
	if errors.Is(err, localstores.ErrPortTaken) {
		return nil, portTaken(name, port)
	}
	if err != nil {
		return nil, err
	}
	s.servers[name] = server
	return server, nil
}

func (s *stackStores) stop() error {
	var err error
	for name, server := range s.servers {
		if stopErr := server.Stop(); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stopping %s: %w", name, stopErr))
		}
	}
	return err
}
