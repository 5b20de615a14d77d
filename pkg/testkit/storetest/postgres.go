package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/schema"
)

// Database is a migrated database that only one test uses.
type Database struct {
	// URL connects as a superuser.
	URL string
}

// Postgres creates a database for the test. At the end of the test it closes the database's connections and drops it.
func Postgres(t testing.TB) *Database {
	t.Helper()
	base := server(t, "TEST_DATABASE_URL")
	shared.once.Do(func() { shared.err = shared.prepare(base) })
	if shared.err != nil {
		t.Fatalf("preparing the template database: %v", shared.err)
	}
	name := "countersign_test_" + strings.ToLower(rand.Text()[:16])
	if _, err := shared.db.Exec(`create database ` + name + ` template ` + shared.template); err != nil {
		t.Fatalf("cloning the template database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := shared.db.Exec(`drop database ` + name + ` with (force)`); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
	return &Database{URL: withDatabase(base, name)}
}

// URLAs returns a URL that connects with the privileges of a service's role, for example schema.RolePinInternal. The time limits
// of the role do not apply. Each setting, for example lock_timeout=100ms, changes a parameter of the session.
func (d *Database) URLAs(role string, settings ...string) string {
	u, _ := url.Parse(d.URL) // withDatabase made it
	q := u.Query()
	q.Set("options", "-c "+strings.Join(append([]string{"role=" + role}, settings...), " -c "))
	u.RawQuery = q.Encode()
	return u.String()
}

// Open opens a pool of at most 20 connections with the privileges of a service's role. If role is empty, it connects as a
// superuser. The pool is closed at the end of the test.
func (d *Database) Open(t testing.TB, role string) *sqlx.DB {
	t.Helper()
	address := d.URL
	if role != "" {
		address = d.URLAs(role)
	}
	db, err := sqlx.Connect("postgres", address)
	if err != nil {
		t.Fatalf("connecting to the test's database: %v", err)
	}
	db.SetMaxOpenConns(20)
	t.Cleanup(func() { db.Close() })
	return db
}

// shared is used by all tests of one test binary.
var shared databases

type databases struct {
	once sync.Once
	// db is a connection to the server that creates and drops databases.
	db *sql.DB
	// template is the name of the migrated database that is cloned for each test.
	template string
	err      error
}

// templateLock is the number of the advisory lock for creating the template.
const templateLock = 0x636f756e74

// prepare creates the template, unless a test binary has already created it for these migrations.
func (s *databases) prepare(base string) error {
	connector, err := pq.NewConnector(base)
	if err != nil {
		return fmt.Errorf("parsing TEST_DATABASE_URL: %w", err)
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(4)
	fingerprint, err := schema.Fingerprint()
	if err != nil {
		return err
	}
	s.template = "countersign_template_" + fingerprint
	// An advisory lock belongs to a session, so lock and unlock must use the same connection.
	ctx := context.Background()
	session, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to TEST_DATABASE_URL: %w", err)
	}
	defer session.Close()
	if _, err := session.ExecContext(ctx, `select pg_advisory_lock($1)`, templateLock); err != nil {
		return fmt.Errorf("locking the template: %w", err)
	}
	defer session.ExecContext(ctx, `select pg_advisory_unlock($1)`, templateLock)
	var exists bool
	if err := session.QueryRowContext(ctx, `select exists (select from pg_database where datname = $1)`, s.template).Scan(&exists); err != nil {
		return fmt.Errorf("looking for the template: %w", err)
	}
	if exists {
		return nil
	}
	return s.createTemplate(ctx, session, base)
}

// createTemplate migrates an empty database and then renames it to the template's name. So a template with this name is always
// complete.
func (s *databases) createTemplate(ctx context.Context, session *sql.Conn, base string) error {
	unfinished := s.template + "_unfinished"
	for _, q := range []string{`drop database if exists ` + unfinished + ` with (force)`, `create database ` + unfinished} {
		if _, err := session.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("creating an empty database: %w", err)
		}
	}
	if err := migrate(ctx, withDatabase(base, unfinished)); err != nil {
		return err
	}
	for _, q := range []string{
		// Postgres cannot clone a database that has a connection.
		`alter database ` + unfinished + ` with allow_connections false`,
		`alter database ` + unfinished + ` rename to ` + s.template,
	} {
		if _, err := session.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("finishing the template: %w", err)
		}
	}
	return nil
}

func migrate(ctx context.Context, address string) error {
	db, err := sql.Open("postgres", address)
	if err != nil {
		return fmt.Errorf("opening the template: %w", err)
	}
	defer db.Close()
	if err := schema.EnsureRoles(ctx, db, nil, 0); err != nil {
		return err
	}
	return schema.Migrate(ctx, db)
}

// withDatabase returns a server's URL for one of its databases.
func withDatabase(base, name string) string {
	u, _ := url.Parse(base) // prepare has connected with it
	u.Path = "/" + name
	return u.String()
}
