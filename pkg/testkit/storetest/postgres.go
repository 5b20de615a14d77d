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

// Database is a migrated database that one test has to itself.
type Database struct {
	// URL connects as its owner, who may do everything.
	URL string
}

// Postgres makes a database for the test and drops it, with whoever is still connected, when the test is over.
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

// URLAs connects with the grants of a service's role, as schema.RolePinInternal, and with no more.
func (d *Database) URLAs(role string) string {
	u, _ := url.Parse(d.URL) // withDatabase made it
	q := u.Query()
	q.Set("options", "-c role="+role)
	u.RawQuery = q.Encode()
	return u.String()
}

// Open connects with the grants of a service's role, or as the owner when role is empty, and closes when the test is
// over.
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
	t.Cleanup(func() { db.Close() })
	return db
}

// shared is what the tests of one binary have in common. It lives as long as the binary.
var shared databases

type databases struct {
	once sync.Once
	// db is the maintenance database, where databases are made and dropped.
	db *sql.DB
	// template is the name of the migrated database that tests clone.
	template string
	err      error
}

// templateLock is a number that nobody else locks on a server for tests.
const templateLock = 0x636f756e74

// prepare makes the template unless this test binary or another has done so before, for these very migrations.
func (s *databases) prepare(base string) error {
	connector, err := pq.NewConnector(base)
	if err != nil {
		return fmt.Errorf("reading TEST_DATABASE_URL: %w", err)
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(4)
	fingerprint, err := schema.Fingerprint()
	if err != nil {
		return err
	}
	s.template = "countersign_template_" + fingerprint
	// The lock belongs to a session, so everything up to its end happens on one.
	ctx := context.Background()
	session, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to TEST_DATABASE_URL: %w", err)
	}
	defer session.Close()
	if _, err := session.ExecContext(ctx, `select pg_advisory_lock($1)`, templateLock); err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	defer session.ExecContext(ctx, `select pg_advisory_unlock($1)`, templateLock)
	var exists bool
	if err := session.QueryRowContext(ctx, `select exists (select from pg_database where datname = $1)`, s.template).Scan(&exists); err != nil {
		return fmt.Errorf("looking for the template: %w", err)
	}
	if exists {
		return nil
	}
	return s.make(ctx, session, base)
}

// make gives the template its name only when it is migrated, so that whoever finds it finds it whole.
func (s *databases) make(ctx context.Context, session *sql.Conn, base string) error {
	unfinished := s.template + "_unfinished"
	for _, q := range []string{`drop database if exists ` + unfinished + ` with (force)`, `create database ` + unfinished} {
		if _, err := session.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("making an empty database: %w", err)
		}
	}
	if err := migrate(ctx, withDatabase(base, unfinished)); err != nil {
		return err
	}
	for _, q := range []string{
		// Nobody can clone a database that somebody is connected to.
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
	if err := schema.EnsureRoles(ctx, db, nil); err != nil {
		return err
	}
	return schema.Migrate(ctx, db)
}

// withDatabase points a server's URL at one of its databases. The URL has been used before, so it parses.
func withDatabase(base, name string) string {
	u, _ := url.Parse(base)
	u.Path = "/" + name
	return u.String()
}
