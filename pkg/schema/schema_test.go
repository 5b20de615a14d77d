package schema_test

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestMigrateTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t).Open(t, "").DB
	if err := schema.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	empty, err := schema.Empty(t.Context(), db)
	if err != nil || empty {
		t.Errorf("empty: %t, %v", empty, err)
	}
	pending, err := schema.Pending(t.Context(), db)
	if err != nil || pending {
		t.Errorf("pending: %t, %v", pending, err)
	}
}

func TestMigrateRefusesADatabaseFromBeforeTheFirstRelease(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t).Open(t, "").DB
	// Before the first release, the applied migrations were recorded in this table.
	const old = `
		drop schema public cascade;
		create schema public;
		create table goose_db_version (id integer primary key, version_id bigint not null, is_applied boolean not null, tstamp timestamp);
		insert into goose_db_version values (1, 0, true, now()), (2, 1, true, now())`
	if _, err := db.Exec(old); err != nil {
		t.Fatal(err)
	}
	if err := schema.Migrate(t.Context(), db); !errors.Is(err, schema.ErrTooOld) {
		t.Errorf("Migrate: %v, want ErrTooOld", err)
	}
	if _, err := schema.Empty(t.Context(), db); !errors.Is(err, schema.ErrTooOld) {
		t.Errorf("Empty: %v, want ErrTooOld", err)
	}
	var tables int
	if err := db.QueryRow(`select count(*) from pg_tables where schemaname = 'public'`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables != 1 {
		t.Errorf("%d tables after the refusal, want 1", tables)
	}
}

func TestEveryTableAndColumnHasAComment(t *testing.T) {
	t.Parallel()
	var missing []string
	const q = `
		select c.relname || coalesce('.' || a.attname, '')
		  from pg_class c
		  left join lateral (
		         select null as attname, 0 as attnum
		          union all
		         select attname, attnum from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped and c.relkind in ('r', 'p')
		       ) a on true
		 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relname <> 'schema_migrations'
		   and not exists (select from pg_description d
		                    where d.classoid = 'pg_class'::regclass and d.objoid = c.oid and d.objsubid = a.attnum)
		 order by 1`
	if err := storetest.Postgres(t).Open(t, "").Select(&missing, q); err != nil {
		t.Fatal(err)
	}
	if len(missing) > 0 {
		t.Errorf("without a comment: %v", missing)
	}
}
