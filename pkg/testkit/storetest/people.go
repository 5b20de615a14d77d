package storetest

import (
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/token"
)

// People writes customers, instances, identities and keys to a test's database. It connects as the database's owner.
type People struct {
	t  testing.TB
	db *sqlx.DB
}

// NewPeople connects to a test's database.
func NewPeople(t testing.TB, d *Database) People { return People{t, d.Open(t, "")} }

// Customer adds a customer with a random email address.
func (p People) Customer() uuid.UUID {
	return p.insert(`insert into customers (email) values ($1) returning id`, uuid.NewString()+"@example.com")
}

// Instance adds an instance without an owner.
func (p People) Instance() uuid.UUID {
	return p.insert(`insert into instances (name) values ('agent') returning id`)
}

// Identity adds an identity of a customer on the channel telegram of an instance, with a random external id.
func (p People) Identity(customer, instance uuid.UUID) uuid.UUID {
	return p.insert(`insert into identities (customer_id, instance_id, channel, external_id) values ($1, $2, 'telegram', $3) returning id`,
		customer, instance, uuid.NewString())
}

// ProxyKey adds a proxy key of an instance.
func (p People) ProxyKey(instance uuid.UUID) token.Token {
	key := token.New(token.ProxyKey)
	p.insert(`insert into proxy_keys (instance_id, prefix, key_hash) values ($1, $2, $3) returning id`, instance, key.Prefix(), key.Hash())
	return key
}

// APIKey adds an API key. scopes are separated by commas.
func (p People) APIKey(scopes string) token.Token {
	key := token.New(token.APIKey)
	p.insert(`insert into api_keys (prefix, key_hash, scopes) values ($1, $2, $3) returning id`, key.Prefix(), key.Hash(), "{"+scopes+"}")
	return key
}

// Exec runs a statement as the database's owner.
func (p People) Exec(statement string, args ...any) {
	p.t.Helper()
	if _, err := p.db.Exec(statement, args...); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// Get reads one row into dest.
func (p People) Get(dest any, query string, args ...any) {
	p.t.Helper()
	if err := p.db.Get(dest, query, args...); err != nil {
		p.t.Fatalf("%s: %v", query, err)
	}
}

func (p People) insert(statement string, args ...any) (id uuid.UUID) {
	p.t.Helper()
	p.Get(&id, statement, args...)
	return id
}

// Dump returns all rows of all tables as text. Tests search it for secrets.
func (p People) Dump() string {
	p.t.Helper()
	var tables []string
	if err := p.db.Select(&tables, `select tablename from pg_tables where schemaname = 'public'`); err != nil {
		p.t.Fatalf("listing the tables: %v", err)
	}
	var text strings.Builder
	for _, table := range tables {
		var rows []string
		if err := p.db.Select(&rows, `select t::text from `+table+` t`); err != nil {
			p.t.Fatalf("reading %s: %v", table, err)
		}
		text.WriteString(strings.Join(rows, "\n"))
	}
	return text.String()
}

// Begin starts a transaction. It is rolled back at the end of the test, unless the test ends it.
func (p People) Begin() *sqlx.Tx {
	p.t.Helper()
	tx, err := p.db.Beginx()
	if err != nil {
		p.t.Fatalf("beginning a transaction: %v", err)
	}
	p.t.Cleanup(func() { tx.Rollback() })
	return tx
}

// AwaitLocks waits until n connections to the test's database wait for a lock.
func (p People) AwaitLocks(n int) {
	p.t.Helper()
	for waiting := 0; waiting < n; runtime.Gosched() {
		p.Get(&waiting, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
	}
}
