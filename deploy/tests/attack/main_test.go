//go:build attack

package attack

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// run contains what all tests of one run share.
var run struct {
	folder   string
	postgres *localstores.Server
	options  localstores.Options
	// seed is the seed of the random numbers. ATTACK_SEED sets it, to repeat a run.
	seed uint64
	// pooler is a pgbouncer between the services and Postgres if ATTACK_POOLED is set, otherwise nil.
	pooler *localstores.Server
}

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	storetest.HashAsInProduction()
	run.seed = uint64(time.Now().UnixNano() % 1e9)
	if text := os.Getenv("ATTACK_SEED"); text != "" {
		if run.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 1, fmt.Errorf("ATTACK_SEED: %w", err)
		}
	}
	fmt.Printf("ATTACK_SEED=%d\n", run.seed)
	if err := localstores.Install(context.Background(), os.Stderr, true, true); err != nil {
		return 1, err
	}
	if run.folder, err = os.MkdirTemp("", "countersign-attack-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(run.folder)) }()
	// If this program runs as root, Postgres runs as another user and must enter the folder.
	if err := os.Chmod(run.folder, 0o711); err != nil {
		return 1, err
	}
	if err := build("pin-internal"); err != nil {
		return 1, err
	}
	// This server keeps acknowledged data on the disk when it is killed. A temporary server does not.
	run.options = localstores.Options{Folder: filepath.Join(run.folder, "stores"), Port: freePort()}
	if err := os.Mkdir(run.options.Folder, 0o711); err != nil {
		return 1, err
	}
	if err := startPostgres(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, run.postgres.Stop()) }()
	if err := ensureRoles(context.Background(), run.postgres.URL); err != nil {
		return 1, err
	}
	os.Setenv("TEST_DATABASE_URL", run.postgres.URL)
	if os.Getenv("ATTACK_POOLED") != "" {
		if run.pooler, err = localstores.StartPooler(context.Background(), os.Stderr, loginURL(run.postgres.URL, schema.RolePinInternal)); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, run.pooler.Stop()) }()
	}
	return m.Run(), nil
}

// startPostgres starts the server. After a kill, the server has the same port and data again.
func startPostgres() (err error) {
	run.postgres, err = localstores.StartPostgres(context.Background(), run.options)
	return err
}

// servicePassword is the password of the services' roles. The services log in, because the limits of a role apply only then.
const servicePassword = "attack"

func ensureRoles(ctx context.Context, address string) error {
	db, err := sql.Open("postgres", address)
	if err != nil {
		return err
	}
	defer db.Close()
	passwords := map[string]string{}
	for _, role := range schema.Roles {
		passwords[role] = servicePassword
	}
	return schema.EnsureRoles(ctx, db, passwords, 0)
}

// loginURL returns the URL of a database for the login of a service's role.
func loginURL(address, role string) string {
	u := mustParseURL(address)
	u.User = url.UserPassword(role, servicePassword)
	return u.String()
}

// build builds services/pin-internal with more flags of go build, as a program with this name, unless it exists.
func build(name string, flags ...string) error { return buildService(name, "pin-internal", flags...) }

// buildService builds a service as build does.
func buildService(name, service string, flags ...string) error {
	path := filepath.Join(run.folder, name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	args := append(append([]string{"build", "-buildvcs=false", "-o", path}, flags...), "github.com/countersign/countersign/services/"+service)
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return nil
}

// buildWithWrongClock builds a service whose clock is wrong by a number of hours. It replaces time.Now in the standard library.
func buildWithWrongClock(t *testing.T, name, service string, hours int) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(text), now) {
		t.Fatal("time.Now has another form in this version of Go: change this test")
	}
	changed := filepath.Join(run.folder, name+".go")
	wrongTime := strings.Replace(string(text), now, fmt.Sprintf("%s\tsec += %d * 3600\n", now, hours), 1)
	overlay := filepath.Join(run.folder, name+".json")
	for path, content := range map[string]string{changed: wrongTime, overlay: fmt.Sprintf(`{"Replace": {%q: %q}}`, original, changed)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := buildService(name, service, "-overlay", overlay); err != nil {
		t.Fatal(err)
	}
}
