package localstores

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"syscall"

	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// StartStandby starts a temporary standby of a Postgres that StartPostgres has started, for tests. It has the same users and
// passwords.
func StartStandby(ctx context.Context, primary *Server) (*Server, error) {
	at, err := openPlace("", "postgres", primary.place.runAs)
	if err != nil {
		return nil, err
	}
	at.password = primary.place.password
	if err := copyCluster(ctx, at, primary); err != nil {
		return nil, errors.Join(err, at.clear())
	}
	s, err := startPostgres(ctx, at, 0)
	if err != nil {
		return nil, errors.Join(err, at.clear())
	}
	return s, nil
}

// copyCluster copies the files of a running server, with the settings of a standby.
func copyCluster(ctx context.Context, at place, primary *Server) error {
	bin, err := findPostgres(at.runAs, clusterVersion(filepath.Join(primary.place.data, "main")))
	if err != nil {
		return err
	}
	address, err := url.Parse(primary.URL)
	if err != nil {
		return errors.New("the address of Postgres is not a URL") // the cause contains the password
	}
	cmd := at.runAs.command(filepath.Join(bin, "pg_basebackup"), "--pgdata="+filepath.Join(at.data, "main"), "--host="+address.Hostname(),
		"--port="+address.Port(), "--username="+user, "--no-password", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	cmd.Env = append(cmd.Env, "PGPASSWORD="+primary.place.password)
	copying, err := child.StartLogged(cmd, at.log(), syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-copying.Done():
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("copying a Postgres: %w", ctx.Err()), copying.Stop(syscall.SIGTERM, stopTimeout))
	}
	if copying.ExitCode() != 0 {
		return fmt.Errorf("pg_basebackup failed:\n%s", child.LastLines(at.log(), 10))
	}
	return nil
}
