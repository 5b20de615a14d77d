package localstores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// StartPooler starts a temporary pgbouncer in transaction mode for the Postgres at address, for tests. It logs in with the user
// of the address. If the machine has no pgbouncer, StartPooler installs it as Install installs servers.
func StartPooler(ctx context.Context, out io.Writer, address string) (*Server, error) {
	bin, err := installMissing(ctx, out, "pgbouncer", func() string { return firstOnPath([]string{"pgbouncer", "/usr/sbin/pgbouncer"}) })
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address of Postgres is not a URL") // the cause contains the password
	}
	runAs, err := serverAccount()
	if err != nil {
		return nil, err
	}
	at, err := openPlace("", "pgbouncer", runAs)
	if err != nil {
		return nil, err
	}
	s, err := program{
		name:        "pgbouncer",
		endLeftover: func(context.Context, place) error { return nil },
		launch: func(at place, port int) (*child.Process, error) {
			file := filepath.Join(at.data, "pgbouncer.ini")
			if err := os.WriteFile(file, []byte(poolerConfig(port, to)), 0o600); err != nil {
				return nil, fmt.Errorf("configuring pgbouncer: %w", err)
			}
			if err := at.runAs.takeOwnership(file); err != nil {
				return nil, err
			}
			return child.StartLogged(at.runAs.command(bin, file), at.log(), syscall.SIGKILL)
		},
		ping:       pingPostgres,
		url:        url.URL{Scheme: "postgres", User: url.User(user), Path: "/postgres", RawQuery: "sslmode=disable&binary_parameters=yes"},
		stopSignal: syscall.SIGINT,
	}.start(ctx, at, 0)
	if err != nil {
		return nil, errors.Join(err, at.clear())
	}
	return s, nil
}

// poolerConfig is a usual configuration of pgbouncer, except that every client on loopback may connect. pgbouncer tries a
// failed server again after a second. It ignores extra_float_digits, which lib/pq sets and pgbouncer does not know.
func poolerConfig(port int, to *url.URL) string {
	password, _ := to.User.Password()
	return strings.Join([]string{
		"[databases]",
		fmt.Sprintf("* = host=%s port=%s user=%s password=%s", to.Hostname(), to.Port(), to.User.Username(), password),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		"listen_port = " + strconv.Itoa(port),
		"unix_socket_dir =",
		"auth_type = any",
		"pool_mode = transaction",
		"default_pool_size = 20",
		"max_client_conn = 1000",
		"server_login_retry = 1",
		"ignore_startup_parameters = extra_float_digits",
	}, "\n") + "\n"
}
