package demo

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// ensure calls Ensure and writes the demo data to the folder, as the command does.
func ensure(t *testing.T, db *sqlx.DB, local folder.Folder) Data {
	t.Helper()
	operator := caller.NewContext(t.Context(), caller.Caller{Kind: caller.Operator})
	d, err := Ensure(operator, db, local)
	if err != nil {
		t.Fatal(err)
	}
	if err := local.Write(File, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t *testing.T) *sqlx.DB { return storetest.Postgres(t).Open(t, "") }

func TestDemoDataIsMadeOnceForEachDatabase(t *testing.T) {
	t.Parallel()
	local := folder.Folder(t.TempDir())
	db := open(t)
	first := ensure(t, db, local)
	if again := ensure(t, db, local); again != first {
		t.Error("a second start made other demo data")
	}
	other := open(t)
	moved := ensure(t, other, local)
	if moved.InstanceID == first.InstanceID {
		t.Error("for an empty database, Ensure returned the data of another database")
	}
	if _, err := other.Exec(`update api_keys set revoked_at = now()`); err != nil {
		t.Fatal(err)
	}
	if again := ensure(t, other, local); again.APIKey == moved.APIKey || again.CustomerID != moved.CustomerID {
		t.Error("a revoked key was kept, or the customer was made twice")
	}
	var enforcement string
	if err := db.Get(&enforcement, `select enforcement from instances where id = $1`, first.InstanceID); err != nil || enforcement != "strict" {
		t.Errorf("the enforcement of the demo's instance is %q, %v", enforcement, err)
	}
	var actors []string
	if err := other.Select(&actors, `select distinct actor_kind from audit`); err != nil || !slices.Equal(actors, []string{"operator"}) {
		t.Errorf("the actors in the audit trail are %q, %v", actors, err)
	}
}

func TestDemoKeepsItsDatabaseWhenOthersAddedData(t *testing.T) {
	t.Parallel()
	local := folder.Folder(t.TempDir())
	db := open(t)
	first := ensure(t, db, local)
	for _, q := range []string{`insert into customers (email) values ('ada@example.test')`, `update proxy_keys set revoked_at = now()`} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if again := ensure(t, db, local); again.CustomerID != first.CustomerID || again.ProxyKey == first.ProxyKey {
		t.Error("a revoked key was kept, or the customer was made twice")
	}
}

func TestDemoFindsItsDatabaseWhenItsFileIsLost(t *testing.T) {
	t.Parallel()
	db := open(t)
	first := ensure(t, db, folder.Folder(t.TempDir()))
	if again := ensure(t, db, folder.Folder(t.TempDir())); again.CustomerID != first.CustomerID || again.APIKey == first.APIKey {
		t.Error("the customer was made twice, or the lost key was found")
	}
}

// An earlier version of the demo made no skills.
func TestDemoAddsItsSkillsToItsData(t *testing.T) {
	t.Parallel()
	local := folder.Folder(t.TempDir())
	db := open(t)
	ensure(t, db, local)
	const list = `select coalesce(string_agg(skill || ' ' || mode || ' ' || coalesce(title, ''), ', ' order by skill), '') from skills`
	for _, rule := range []struct{ name, change, want string }{
		{"a new database", ``, "accounts.statement session Read the account statement, payments.transfer approval Send money, rates.read open Read exchange rates"},
		{"an earlier version", `delete from skills`, "accounts.statement session Read the account statement, payments.transfer approval Send money, rates.read open Read exchange rates"},
		{"skills that the user changed", `update skills set title = 'mine', mode = 'open', skill = 'ACCOUNTS.statement' where mode = 'session'; delete from skills where mode = 'approval'`,
			"ACCOUNTS.statement open mine, payments.transfer approval Send money, rates.read open Read exchange rates"},
	} {
		db.MustExec(rule.change)
		ensure(t, db, local)
		var got string
		if err := db.Get(&got, list); err != nil || got != rule.want {
			t.Errorf("%s: %q, want %q, %v", rule.name, got, rule.want, err)
		}
	}
}

func TestDemoRefusesADatabaseWithOtherData(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]string{
		"a customer":  `insert into customers (email) values ('ada@example.test')`,
		"a user":      `insert into users (email, password_hash) values ('ada@example.test', '')`,
		"an agent":    `insert into instances (name) values ('Production')`,
		"an API key":  `insert into api_keys (prefix, key_hash, scopes) values ('', sha256(''), '{read}')`,
		"many agents": `insert into instances (name) select 'Demo agent' from generate_series(1, 101)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := storetest.Postgres(t)
			db := database.Open(t, "")
			if _, err := db.Exec(q); err != nil {
				t.Fatal(err)
			}
			people := storetest.NewPeople(t, database)
			before := people.Dump()
			if _, err := Ensure(t.Context(), db, folder.Folder(t.TempDir())); !errors.Is(err, ErrForeign) {
				t.Errorf("it was not refused: %v", err)
			}
			if people.Dump() != before {
				t.Error("the refused database was changed")
			}
		})
	}
}

func TestCheckBeforeTheMigrations(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	empty := server.Open(t, "")
	empty.MustExec(`drop schema public cascade; create schema public`)
	local := folder.Folder(t.TempDir())
	check := func(db *sqlx.DB, url string, want error) {
		t.Helper()
		if err := Check(t.Context(), db, local, url); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	check(empty, "url", nil)
	empty.MustExec(`create table invoices ()`)
	check(empty, "url", ErrForeign)

	migrated := open(t)
	check(migrated, "url", nil)
	migrated.MustExec(`insert into customers (email) values ('ada@example.test')`)
	check(migrated, "url", ErrForeign)
	if err := local.Write(File, Data{DatabaseURL: "url"}); err != nil {
		t.Fatal(err)
	}
	check(migrated, "url", nil)
	check(migrated, "another url", ErrForeign)
}

func TestTourParsesInSh(t *testing.T) {
	t.Parallel()
	text, err := Tour(Data{PinInternalURL: "http://127.0.0.1:8083"}, Commands{Curl: "curl", Approve: "countersign approve"}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = strings.Cut(text, "line by line:")
	text, _, _ = strings.Cut(text, "The console for admins:")
	var commands int
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			commands++
		}
	}
	if commands != 8 {
		t.Errorf("%d lines to paste", commands)
	}
	check := exec.Command("sh", "-n")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
