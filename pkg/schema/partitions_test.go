package schema_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// partitioned are the tables with monthly partitions, and a statement that inserts a row of a time.
var partitioned = map[string]string{
	"attempts": `insert into attempts (charged_at, holder_id, number, instance_id, request_id) values ($1, gen_random_uuid(), 1, gen_random_uuid(), '')`,
	"audit":    `insert into audit (at, actor_kind, action, request_id, address) values ($1, 'operator', 'test.row', '', '')`,
}

// months returns the number of rows in each partition of a table, for example "2026_11:1 default:0".
func months(t *testing.T, db *sqlx.DB, table string) string {
	t.Helper()
	var names []string
	const q = `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::regclass order by 1`
	if err := db.Select(&names, q, table); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		var rows string
		if err := db.Get(&rows, `select count(*) from `+name); err != nil {
			t.Fatal(err)
		}
		names[i] = strings.TrimPrefix(name, table+"_") + ":" + rows
	}
	return strings.Join(names, " ")
}

// month returns the name of a partition: 0 is this month, 1 the next month.
func month(offset int) string {
	now := time.Now().UTC()
	return time.Date(now.Year(), now.Month()+time.Month(offset), 1, 0, 0, 0, 0, time.UTC).Format("2006_01")
}

// inMonth returns a time within a month: 0 is this month.
func inMonth(offset int) time.Time {
	at, _ := time.Parse("2006_01", month(offset))
	return at.Add(time.Hour)
}

func exec(t *testing.T, db *sqlx.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// The migration that makes the partitions keeps the rows, their numbers and the cascade from their holder.
func TestExistingRowsMoveToPartitions(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t).Open(t, "")
	exec(t, db, `drop schema public cascade`)
	exec(t, db, `create schema public`)
	if err := schema.MigrateTo(t.Context(), db.DB, 21); err != nil {
		t.Fatal(err)
	}
	var customer uuid.UUID
	if err := db.Get(&customer, `insert into customers (email) values ('ann@example.com') returning id`); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `insert into pin_holders (holder_id, customer_id) values ($1, $1)`, customer)
	for i, offset := range []int{-30, -1, 0, 0} {
		exec(t, db, `insert into attempts (holder_id, number, instance_id, request_id, charged_at, outcome) values ($1, $2, $1, 'r', $3, 'wrong')`, customer, i+1, inMonth(offset))
		exec(t, db, `insert into audit (at, actor_kind, action, request_id, address, details) values ($1, 'operator', 'test.' || $2, 'r', '', '{"a": 1}')`, inMonth(offset), i+1)
	}
	if err := schema.Migrate(t.Context(), db.DB); err != nil {
		t.Fatal(err)
	}
	want := month(-30) + ":1 " + month(-1) + ":1 " + month(0) + ":2 " + month(1) + ":0 " + month(2) + ":0 " + month(3) + ":0 default:0"
	for table := range partitioned {
		if got := months(t, db, table); got != want {
			t.Errorf("%s: %s, want %s", table, got, want)
		}
	}
	var ids, numbers pq.StringArray
	if err := db.Get(&ids, `select array_agg(id || action || request_id || details order by id) from audit`); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ids, " "); got != `1test.1r{"a": 1} 2test.2r{"a": 1} 3test.3r{"a": 1} 4test.4r{"a": 1}` {
		t.Errorf("the rows of the audit trail: %s", got)
	}
	exec(t, db, partitioned["audit"], time.Now())
	if err := db.Get(&ids, `select array[max(id)::text] from audit`); err != nil || ids[0] != "5" {
		t.Errorf("the next row of the audit trail has the number %v, %v, want 5", ids, err)
	}
	if err := db.Get(&numbers, `select array_agg(number || outcome order by number) from attempts`); err != nil || strings.Join(numbers, " ") != "1wrong 2wrong 3wrong 4wrong" {
		t.Errorf("the attempts: %v, %v", numbers, err)
	}
	exec(t, db, `delete from customers`)
	if err := db.Get(&numbers, `select array_agg(number) from attempts`); err != nil || numbers != nil {
		t.Errorf("the attempts of a deleted customer: %v, %v", numbers, err)
	}
}

func TestPartitionsAreMadeAheadAndDroppedWhenOld(t *testing.T) {
	t.Parallel()
	for table, insert := range partitioned {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			d := storetest.Postgres(t)
			db, admin := d.Open(t, ""), d.Open(t, schema.RolePinAdmin)
			ahead := month(1) + ":0 " + month(2) + ":0 " + month(3) + ":0"
			if got, want := months(t, db, table), month(0)+":0 "+ahead+" default:0"; got != want {
				t.Errorf("after the migration: %s, want %s", got, want)
			}
			exec(t, db, `drop table `+table+`_`+month(0)+`, `+table+`_`+month(1)) // as if nothing had been pruned for months
			for _, offset := range []int{-14, -13, -12, 0, 20} {
				exec(t, db, insert, inMonth(offset))
			}
			if got, want := months(t, db, table), month(2)+":0 "+month(3)+":0 default:5"; got != want {
				t.Errorf("without partitions: %s, want %s", got, want)
			}
			// A part of the month of 13 months ago is younger than the period.
			keep := time.Since(inMonth(-12)).Hours()
			exec(t, admin, `select prune_`+table+`(make_interval(hours => $1))`, int(keep)+2)
			if got, want := months(t, db, table), month(-13)+":1 "+month(-12)+":1 "+month(0)+":1 "+ahead+" default:1"; got != want {
				t.Errorf("after pruning: %s, want %s", got, want)
			}
			exec(t, admin, `select prune_`+table+`('10000 hours')`)
			if table == "audit" {
				exec(t, admin, `select prune_audit(null)`)
			}
			if got, want := months(t, db, table), month(-13)+":1 "+month(-12)+":1 "+month(0)+":1 "+ahead+" default:1"; got != want {
				t.Errorf("with a long period: %s, want %s", got, want)
			}
			exec(t, admin, `select prune_`+table+`('2160 hours')`)
			if got, want := months(t, db, table), month(0)+":1 "+ahead+" default:1"; got != want {
				t.Errorf("with a short period: %s, want %s", got, want)
			}
			if _, err := admin.Exec(insert, time.Now()); err != nil {
				t.Errorf("inserting: %v", err)
			}
		})
	}
}

// A trigger on the table, for example one that sends a mail, runs once for each row: not again when the row moves to its month.
func TestTriggersDoNotRunAgainForMovedRows(t *testing.T) {
	t.Parallel()
	d := storetest.Postgres(t)
	db := d.Open(t, "")
	exec(t, db, `create table fired (id bigint)`)
	exec(t, db, `create function fire() returns trigger language plpgsql as $$ begin insert into fired values (new.id); return null; end $$`)
	exec(t, db, `create trigger fire after insert on audit for each row execute function fire()`)
	exec(t, db, partitioned["audit"], inMonth(-2))
	exec(t, db, `select prune_audit(null)`)
	if got := months(t, db, "audit"); !strings.HasPrefix(got, month(-2)+":1 ") {
		t.Fatalf("the row did not move: %s", got)
	}
	exec(t, db, partitioned["audit"], inMonth(-2)) // the new partition has the trigger too
	var fired int
	if err := db.Get(&fired, `select count(*) from fired`); err != nil || fired != 2 {
		t.Errorf("the trigger ran %d times for 2 rows, %v", fired, err)
	}
}

// Two replicas that prune at the same time make each partition once, and no insert fails meanwhile.
func TestPartitionsAreMadeByTwoReplicasDuringInserts(t *testing.T) {
	t.Parallel()
	d := storetest.Postgres(t)
	db := d.Open(t, "")
	exec(t, db, `drop table audit_`+month(0)+`, audit_`+month(1)+`, audit_`+month(2))
	done := make(chan struct{})
	var inserting, pruning sync.WaitGroup
	for range 4 {
		inserting.Go(func() {
			for {
				if _, err := db.Exec(partitioned["audit"], time.Now()); err != nil {
					t.Errorf("inserting: %v", err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 2 {
		admin := d.Open(t, schema.RolePinAdmin)
		pruning.Go(func() {
			var e *pq.Error
			for range 20 {
				if _, err := admin.Exec(`select prune_audit(null)`); err != nil && !(errors.As(err, &e) && e.Code == "55P03") {
					t.Errorf("pruning: %v", err)
				}
			}
		})
	}
	pruning.Wait()
	close(done)
	inserting.Wait()
	exec(t, d.Open(t, schema.RolePinAdmin), `select prune_audit(null)`)
	if got := months(t, db, "audit"); !strings.HasPrefix(got, month(0)+":") || !strings.HasSuffix(got, "default:0") {
		t.Errorf("the partitions: %s", got)
	}
}

func TestPruningRefusesShortPeriodsAndOtherRoles(t *testing.T) {
	t.Parallel()
	d := storetest.Postgres(t)
	const insufficientPrivilege, raised = "42501", "P0001"
	for _, rule := range []struct{ role, statement, code string }{
		{schema.RolePinAdmin, `select prune_attempts('167 hours')`, raised},
		{schema.RolePinAdmin, `select prune_attempts(null)`, raised},
		{schema.RolePinAdmin, `select prune_attempts('-1 day')`, raised},
		{schema.RolePinAdmin, `select prune_audit('2159 hours')`, raised},
		{schema.RolePinAdmin, `select prune_audit('0')`, raised},
		{schema.RolePinAdmin, `select prune_attempts('168 hours')`, ""},
		{schema.RolePinAdmin, `select prune_audit('2160 hours')`, ""},
		{schema.RolePinAdmin, `select keep_partitions('audit', 'at', '0')`, insufficientPrivilege},
		{schema.RolePinAdmin, `drop table audit_default`, insufficientPrivilege},
		{schema.RolePinAdmin, `select * from audit_default`, insufficientPrivilege},
		{schema.RolePinAdmin, `delete from audit`, insufficientPrivilege},
		{schema.RoleAuth, `select prune_audit('2160 hours')`, insufficientPrivilege},
		{schema.RolePinInternal, `select prune_attempts('168 hours')`, insufficientPrivilege},
	} {
		_, err := d.Open(t, rule.role).Exec(rule.statement)
		var e *pq.Error
		if (err == nil) != (rule.code == "") || (err != nil && (!errors.As(err, &e) || string(e.Code) != rule.code)) {
			t.Errorf("%s, %s: %v, want %q", rule.role, rule.statement, err, rule.code)
		}
	}
}

// A page of the trail reads an index of each month, and no month after the cursor.
func TestAuditPagesReadIndexesOnly(t *testing.T) {
	t.Parallel()
	d := storetest.Postgres(t)
	db := d.Open(t, "")
	for offset := -6; offset <= 0; offset++ {
		exec(t, db, `insert into audit (at, actor_kind, action, customer_id, request_id, address)
			select $1::timestamptz + n * interval '1 second', 'operator', 'test.row', gen_random_uuid(), '', '' from generate_series(1, 2000) n`, inMonth(offset))
	}
	exec(t, d.Open(t, schema.RolePinAdmin), `select prune_audit(null)`)
	exec(t, db, `analyze audit`)
	var plan []string
	const q = `explain select id, at from audit where action = 'test.row' and at <= $1::timestamptz and (at, id) < ($1::timestamptz, 7) order by at desc, id desc limit 10`
	if err := db.Select(&plan, strings.ReplaceAll(q, "$1", pq.QuoteLiteral(inMonth(-3).Format(time.RFC3339)))); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(plan, "\n")
	if strings.Contains(text, "->  Sort") || strings.Contains(text, "Seq Scan on audit_2") || strings.Contains(text, month(-2)) || !strings.Contains(text, month(-3)) {
		t.Errorf("the plan:\n%s", text)
	}
	if !slices.ContainsFunc(plan, func(line string) bool { return strings.Contains(line, "Index") }) {
		t.Errorf("no index is used:\n%s", text)
	}
}
