package localstores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// StartPooler starts a throw-away pgbouncer in transaction mode in front of the Postgres at address, whose statements run as
// role, whoever sends them; for tests. When the machine has none, it is installed as Install installs servers.
func StartPooler(ctx context.Context, out io.Writer, address, role string) (*Server, error) {
	bin, err := pooler(ctx, out)
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address of Postgres is no URL") // the cause would repeat the password
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	at, err := openPlace("", "pgbouncer", as)
	if err != nil {
		return nil, err
	}
	s, err := program{
		name:     "pgbouncer",
		leftover: func(context.Context, place) error { return nil },
		launch: func(at place, port int) (*child.Process, error) {
			file := filepath.Join(at.data, "pgbouncer.ini")
			if err := os.WriteFile(file, []byte(poolerConfig(port, to, role)), 0o600); err != nil {
				return nil, fmt.Errorf("configuring pgbouncer: %w", err)
			}
			if err := at.as.own(file); err != nil {
				return nil, err
			}
			return child.StartLogged(at.as.command(bin, file), at.log(), syscall.SIGKILL)
		},
		ask:  askPostgres,
		url:  url.URL{Scheme: "postgres", User: url.User(user), Path: "/postgres", RawQuery: "sslmode=disable&binary_parameters=yes"},
		stop: syscall.SIGINT,
	}.start(ctx, at, 0)
	if err != nil {
		return nil, errors.Join(err, at.clear())
	}
	return s, nil
}

// poolerConfig is a pgbouncer's as an operator would have it, but for who may connect: everybody on loopback. A server that
// came back is asked again after a second, and lib/pq sets extra_float_digits, which pgbouncer does not know.
func poolerConfig(port int, to *url.URL, role string) string {
	password, _ := to.User.Password()
	return strings.Join([]string{
		"[databases]",
		fmt.Sprintf("* = host=%s port=%s user=%s password=%s connect_query='set role %s'", to.Hostname(), to.Port(), to.User.Username(), password, role),
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

func pooler(ctx context.Context, out io.Writer) (string, error) {
	const name, sbin = "pgbouncer", "/usr/sbin/pgbouncer"
	find := func() string {
		for _, name := range []string{name, sbin} {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		return ""
	}
	if path := find(); path != "" {
		return path, nil
	}
	m, found := thisMachines()
	if !found {
		return "", errors.New("install pgbouncer, so that it is on the PATH")
	}
	if err := m.run(ctx, out, []string{name}); err != nil { // the package has the same name everywhere
		return "", err
	}
	if path := find(); path != "" {
		return path, nil
	}
	return "", errors.New("the package that was installed has no pgbouncer on the PATH: install one by hand")
}
