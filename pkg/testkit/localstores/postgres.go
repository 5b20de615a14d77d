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

// StartPostgres starts a Postgres and returns when it answers. Its superuser is called countersign. StartPostgres returns
// ErrMissing if Postgres is not installed, and ErrPortTaken if the port is not free.
func StartPostgres(ctx context.Context, o Options) (*Server, error) {
	runAs, err := serverAccount()
	if err != nil {
		return nil, err
	}
	at, err := openPlace(o.Folder, "postgres", runAs)
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
	bin, err := findPostgres(at.runAs, clusterVersion(cluster))
	if err != nil {
		return nil, err
	}
	p := program{
		name: "Postgres",
		endLeftover: func(ctx context.Context, at place) error {
			pidFile := filepath.Join(cluster, "postmaster.pid")
			return child.EndLeftover(ctx, pidFile, cluster, syscall.SIGINT, stopTimeout)
		},
		launch: func(at place, port int) (*child.Process, error) {
			cmd := at.runAs.command(filepath.Join(bin, "postgres"), append([]string{"-D", cluster}, settings(port, at.temporary)...)...)
			// If this program dies, Postgres stops at once. It recovers from its log at the next start.
			return child.StartLogged(cmd, at.log(), syscall.SIGQUIT)
		},
		ping:       pingPostgres,
		url:        url.URL{Scheme: "postgres", User: url.UserPassword(user, at.password), Path: "/postgres", RawQuery: "sslmode=disable"},
		stopSignal: syscall.SIGINT,
	}
	if at.temporary {
		p.stopSignal = syscall.SIGQUIT
	}
	if _, err := os.Stat(cluster); errors.Is(err, fs.ErrNotExist) {
		if err := initCluster(ctx, bin, at, cluster); err != nil {
			return nil, err
		}
	}
	return p.start(ctx, at, port)
}

func settings(port int, temporary bool) []string {
	settings := []string{
		"port=" + strconv.Itoa(port),
		"listen_addresses=127.0.0.1",
		// No socket, because systems limit the length of its path.
		"unix_socket_directories=",
		"password_encryption=scram-sha-256",
		"max_connections=300",
		"timezone=UTC",
		"log_timezone=UTC",
	}
	if temporary {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	var args []string
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// initCluster creates the files of a new, empty server. It renames their folder to cluster when they are complete, so that an
// interrupted run leaves no incomplete cluster.
func initCluster(ctx context.Context, bin string, at place, cluster string) error {
	unfinished, password := cluster+".unfinished", filepath.Join(at.data, "initial-password")
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	if err := os.WriteFile(password, []byte(at.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the password for initdb: %w", err)
	}
	defer os.Remove(password)
	if err := at.runAs.takeOwnership(password); err != nil {
		return err
	}
	cmd := at.runAs.command(filepath.Join(bin, "initdb"), "--pgdata="+unfinished, "--username="+user, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale="+locale(), "--no-sync")
	init, err := child.StartLogged(cmd, at.log(), syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-init.Done():
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("running initdb: %w", ctx.Err()), init.Stop(syscall.SIGTERM, stopTimeout))
	}
	if init.ExitCode() != 0 {
		return fmt.Errorf("initdb failed:\n%s", child.LastLines(at.log(), 10))
	}
	if err := os.Rename(unfinished, cluster); err != nil {
		return fmt.Errorf("renaming the new cluster: %w", err)
	}
	return nil
}

// clusterVersion returns the major version of the Postgres that created a cluster, or an empty string for no cluster.
func clusterVersion(cluster string) string {
	version, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(version))
}

func pingPostgres(ctx context.Context, address *url.URL) error {
	connector, err := pq.NewConnector(address.String())
	if err != nil {
		return fmt.Errorf("parsing the URL of Postgres: %w", err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	return db.PingContext(ctx)
}
