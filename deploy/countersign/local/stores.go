package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// databaseName is the name of the database if the stack starts its own Postgres.
const databaseName = "countersign"

// stackStores are the stores of the stack: the servers of DATABASE_URL and REDIS_URL, or servers that the stack starts.
type stackStores struct {
	databaseURL, redisURL string
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
