package storetest

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/token"
)

// People puts customers, instances, identities and keys into a test's database, as its owner.
type People struct {
	t  testing.TB
	db *sqlx.DB
}

// NewPeople works on the test's database.
func NewPeople(t testing.TB, d *Database) People { return People{t, d.Open(t, "")} }

// Customer adds one with an address of its own.
func (p People) Customer() uuid.UUID {
	return p.insert(`insert into customers (email) values ($1) returning id`, uuid.NewString()+"@example.com")
}

// Instance adds one that nobody owns.
func (p People) Instance() uuid.UUID {
	return p.insert(`insert into instances (name) values ('agent') returning id`)
}

// Identity adds a customer's account on an instance's telegram.
func (p People) Identity(customer, instance uuid.UUID) uuid.UUID {
	return p.insert(`insert into identities (customer_id, instance_id, channel, external_id) values ($1, $2, 'telegram', $3) returning id`,
		customer, instance, uuid.NewString())
}

// ProxyKey adds one for an instance.
func (p People) ProxyKey(instance uuid.UUID) token.Token {
	key := token.New(token.ProxyKey)
	p.insert(`insert into proxy_keys (instance_id, prefix, key_hash) values ($1, $2, $3) returning id`, instance, key.Prefix(), key.Hash())
	return key
}

// APIKey adds one with these scopes.
func (p People) APIKey(scopes string) token.Token {
	key := token.New(token.APIKey)
	p.insert(`insert into api_keys (prefix, key_hash, scopes) values ($1, $2, $3) returning id`, key.Prefix(), key.Hash(), "{"+scopes+"}")
	return key
}

// Exec changes the test's database in a way that no service offers.
func (p People) Exec(statement string, args ...any) {
	p.t.Helper()
	if _, err := p.db.Exec(statement, args...); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// Get reads one value.
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

// Dump returns everything that the test's database holds, as text, to look for what must not be in it.
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
