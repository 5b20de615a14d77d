package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

const ownDatabase = "countersign"

// stackStores are the stores of a local stack: those that DATABASE_URL and REDIS_URL name, or servers of its own.
type stackStores struct {
	databaseURL, redisURL string
	// servers are its own, by name.
	servers map[string]*localstores.Server
}

func openStores(ctx context.Context, local localFolder, base int) (_ *stackStores, err error) {
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
		server, err := s.run(ctx, "Postgres", localstores.StartPostgres, local, base+postgresOffset)
		if err != nil {
			return nil, err
		}
		if s.databaseURL, err = createDatabase(ctx, server.URL); err != nil {
			return nil, err
		}
	}
	if s.redisURL == "" {
		server, err := s.run(ctx, "Redis", localstores.StartRedis, local, base+redisOffset)
		if err != nil {
			return nil, err
		}
		s.redisURL = server.URL
	}
	return s, nil
}

type starter func(context.Context, localstores.Options) (*localstores.Server, error)

func (s *stackStores) run(ctx context.Context, name string, start starter, local localFolder, port int) (*localstores.Server, error) {
	server, err := start(ctx, localstores.Options{Folder: string(local), Port: port})
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

// as returns the database's URL for a service's role.
func (s *stackStores) as(role, password string) (string, error) {
	u, err := url.Parse(s.databaseURL)
	if err != nil || u.Host == "" {
		return "", errors.New("DATABASE_URL: want the form postgres://user:password@host:port/database")
	}
	u.User = url.UserPassword(role, password)
	return u.String(), nil
}

// createDatabase makes the stack's database on a server of its own, once, and returns its URL.
func createDatabase(ctx context.Context, server string) (string, error) {
	db, err := openDatabase(ctx, server)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if err := unlessThere(ctx, db, `create database `+ownDatabase); err != nil {
		return "", fmt.Errorf("creating the database: %w", err)
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("reading the server's URL: %w", err)
	}
	u.Path = "/" + ownDatabase
	return u.String(), nil
}
