package localstores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// StartPostgres starts a Postgres and returns when it answers. Its superuser is called countersign. The error is
// ErrMissing when the machine has no Postgres, ErrPortTaken when the port is not free.
func StartPostgres(ctx context.Context, o Options) (*Server, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	at, err := openPlace(o.Folder, "postgres", as)
	if err != nil {
		return nil, err
	}
	s, err := startPostgres(ctx, at, o.Port)
	if err != nil {
		return nil, errors.Join(err, at.clear())
	}
	return s, nil
}

func startPostgres(ctx context.Context, at place, port int) (*Server, error) {
	cluster := filepath.Join(at.data, "main")
	bin, err := findPostgres(at.as, madeBy(cluster))
	if err != nil {
		return nil, err
	}
	p := program{
		name: "Postgres",
		leftover: func(ctx context.Context, at place) error {
			pidFile := filepath.Join(cluster, "postmaster.pid")
			return child.EndLeftover(ctx, pidFile, cluster, syscall.SIGINT, stopWithin)
		},
		launch: func(at place, port int) (*child.Process, error) {
			cmd := at.as.command(filepath.Join(bin, "postgres"), append([]string{"-D", cluster}, settings(port, at.throwAway)...)...)
			// Orphaned, it stops at once and recovers from its log at the next start.
			return child.StartLogged(cmd, at.log(), syscall.SIGQUIT)
		},
		ask:  askPostgres,
		url:  url.URL{Scheme: "postgres", User: url.UserPassword(user, at.password), Path: "/postgres", RawQuery: "sslmode=disable"},
		stop: syscall.SIGINT,
	}
	if at.throwAway {
		p.stop = syscall.SIGQUIT
	}
	if _, err := os.Stat(cluster); errors.Is(err, fs.ErrNotExist) {
		if err := initCluster(ctx, bin, at, cluster); err != nil {
			return nil, err
		}
	}
	return p.start(ctx, at, port)
}

func settings(port int, throwAway bool) []string {
	settings := []string{
		"port=" + strconv.Itoa(port),
		"listen_addresses=127.0.0.1",
		// The path of a socket may be longer than what systems allow.
		"unix_socket_directories=",
		"password_encryption=scram-sha-256",
		"timezone=UTC",
		"log_timezone=UTC",
	}
	if throwAway {
		settings = append(settings, "max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	var args []string
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// initCluster makes the files of a new, empty server. They get their name only when they are complete.
func initCluster(ctx context.Context, bin string, at place, cluster string) error {
	unfinished, password := cluster+".unfinished", filepath.Join(at.data, "initial-password")
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	if err := os.WriteFile(password, []byte(at.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("handing the password to initdb: %w", err)
	}
	defer os.Remove(password)
	if err := at.as.own(password); err != nil {
		return err
	}
	cmd := at.as.command(filepath.Join(bin, "initdb"), "--pgdata="+unfinished, "--username="+user, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale="+locale(), "--no-sync")
	init, err := child.StartLogged(cmd, at.log(), syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-init.Done():
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("running initdb: %w", ctx.Err()), init.Stop(syscall.SIGTERM, stopWithin))
	}
	if init.ExitCode() != 0 {
		return fmt.Errorf("initdb failed:\n%s", child.LastWords(at.log(), 10))
	}
	if err := os.Rename(unfinished, cluster); err != nil {
		return fmt.Errorf("naming the new cluster: %w", err)
	}
	return nil
}

// madeBy returns the major version of Postgres that a cluster's files belong to; empty when there are none yet.
func madeBy(cluster string) string {
	version, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(version))
}

func askPostgres(ctx context.Context, at *url.URL) error {
	connector, err := pq.NewConnector(at.String())
	if err != nil {
		return fmt.Errorf("reading the address of Postgres: %w", err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	return db.PingContext(ctx)
}
