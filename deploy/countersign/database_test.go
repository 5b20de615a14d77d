package main

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func open(t *testing.T) (*sql.DB, string) {
	t.Helper()
	d := storetest.Postgres(t)
	return d.Open(t, "").DB, d.URL
}

func TestDemoDataIsMadeOnceAndAnewWhereItIsGone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	local, err := openLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	load := func(db *sql.DB) demo {
		t.Helper()
		d, err := demoData(ctx, db, local)
		if err != nil {
			t.Fatal(err)
		}
		if err := local.write(demoFile, d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	db, _ := open(t)
	first := load(db)
	if again := load(db); again != first {
		t.Errorf("a second start made other demo data")
	}
	other, _ := open(t)
	moved := load(other)
	if moved.InstanceID == first.InstanceID {
		t.Error("another database was taken for the one that has the data")
	}
	if _, err := other.Exec(`update api_keys set revoked_at = now()`); err != nil {
		t.Fatal(err)
	}
	if again := load(other); again.APIKey == moved.APIKey || again.CustomerID != moved.CustomerID {
		t.Error("a revoked key was kept, or the customer made twice")
	}
}

func TestPutAdmin(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, _ := open(t)
	matches := func(password string) bool {
		var hash string
		if err := db.QueryRow(`select password_hash from users where role = 'admin' and email_confirmed_at is not null`).Scan(&hash); err != nil {
			t.Fatal(err)
		}
		place, err := slowhash.NewPool(1, 2).Reserve(uuid.Nil)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := place.Matches(context.Background(), []byte(password), hash)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if _, err := db.Exec(`insert into users (email, password_hash) values ('ada@example.com', 'x')`); err != nil {
		t.Fatal(err)
	}
	if err := putAdmin(ctx, db, "ada@example.com", "first password"); err != nil {
		t.Fatal(err)
	}
	if err := putAdmin(ctx, db, "ada@example.com", ""); err != nil || !matches("first password") {
		t.Errorf("promoting without a password changed it, or %v", err)
	}
	if _, err := db.Exec(`insert into user_sessions (user_id, expires_at) select id, now() + interval '1 day' from users`); err != nil {
		t.Fatal(err)
	}
	if err := putAdmin(ctx, db, "ada@example.com", "second password"); err != nil || !matches("second password") {
		t.Errorf("the new password does not open, or %v", err)
	}
	var live, rows int
	if err := db.QueryRow(`select (select count(*) from user_sessions where revoked_at is null), (select count(*) from audit)`).Scan(&live, &rows); err != nil {
		t.Fatal(err)
	}
	if live != 0 || rows != 3 {
		t.Errorf("%d sessions outlived the password, %d of 3 changes are in the trail", live, rows)
	}
}

func TestResetMFA(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, _ := open(t)
	execute := func(q string) {
		t.Helper()
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	execute(`insert into users (email, password_hash, email_confirmed_at) values ('ada@example.com', 'x', now())`)
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		if err := resetMFA(ctx, db, email); err == nil {
			t.Errorf("%s: there was nothing to reset", email)
		}
	}
	execute(`insert into second_factors (user_id, secret_sealed, confirmed_at) select id, 'x', now() from users`)
	execute(`insert into recovery_codes select id, decode(repeat('00', 32), 'hex') from users`)
	execute(`insert into guess_budgets (subject, kind, charged, deactivated_by, locks, locked_until)
		select sha256(convert_to('second_factor', 'utf8') || '\x00'::bytea || convert_to(id::text, 'utf8')), 'second_factor', 100, 100, 9, now() + interval '1 hour' from users`)
	if err := resetMFA(ctx, db, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	var left, locked, trail int
	const q = `
		select (select count(*) from second_factors) + (select count(*) from recovery_codes),
		       (select count(*) from guess_budgets where deactivated_by is not null or locked_until is not null or forgiven < charged),
		       (select count(*) from audit a join users u on u.id = a.target_id where action = 'second_factor.removed' and role = 'user')`
	if err := db.QueryRow(q).Scan(&left, &locked, &trail); err != nil {
		t.Fatal(err)
	}
	if left != 0 || locked != 0 || trail != 1 {
		t.Errorf("%d rows and %d locks are left, %d rows are in the trail", left, locked, trail)
	}
}

func TestCountKeys(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	const q = `
		with c as (insert into customers (email) values ('a@example.com'), ('b@example.com'), ('c@example.com') returning id, email),
		     u as (insert into users (email, password_hash) select email, '' from c returning id),
		     e as (insert into exchange_keys (id, user_id, exchange, masked_key, is_testnet, permissions, credentials_sealed)
			select id, id, 'sandbox', '', false, '{}', 'ring-2:'::bytea || decode('00ff3a01', 'hex') from u),
		     h as (insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
			select id, id, '$argon2id$v=19$m=8,t=1,p=1,keyid=' || case email when 'c@example.com' then 'old' else 'new' end || '$c2FsdA$aGFzaA', id, now() from c)
		insert into signing_keys (id, public_key, private_sealed)
		select id, decode(repeat('00', 32), 'hex'), 'ring-1:'::bytea || decode('00ff3a01', 'hex') from c`
	if _, err := db.Exec(q); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printKeys(t.Context(), db, &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := "RING KEY ID WHAT COUNT|AUTH_KEYS ring-1 signing keys 3|AUTH_KEYS ring-2 exchange keys 3|PIN_KEYS new PINs 2|PIN_KEYS old PINs 1"
	if strings.Join(got, "|") != want {
		t.Errorf("got\n%s", out.String())
	}
}

func TestSigningKeysAreRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	for _, change := range []struct {
		action, statement, want string
	}{
		{"signing_keys.rotated", rotateSigningKeys, "2 keys, 1 signs for 15 minutes"},
		{"signing_keys.rotated", rotateSigningKeys, "2 keys, 1 signs for 15 minutes"},
		{"signing_keys.revoked", revokeSigningKeys, "0 keys, 0 signs for 15 minutes"},
	} {
		if change.statement == rotateSigningKeys {
			const q = `insert into signing_keys (id, public_key, private_sealed, retired_at)
				select gen_random_uuid(), decode(repeat('00', 32), 'hex'), '', at from unnest(array[null, now() - interval '1 hour']) at
				 where not exists (select from signing_keys)`
			if _, err := db.Exec(q); err != nil {
				t.Fatal(err)
			}
		}
		if err := changeSigningKeys(t.Context(), db, change.action, change.statement); err != nil {
			t.Fatal(err)
		}
		var got string
		const q = `select format('%s keys, %s signs for 15 minutes', count(*),
			count(*) filter (where retired_at - now() between interval '14 minutes' and interval '15 minutes')) from signing_keys`
		if err := db.QueryRow(q).Scan(&got); err != nil || got != change.want {
			t.Errorf("%s: %s, %v", change.action, got, err)
		}
	}
	var trail string
	if err := db.QueryRow(`select string_agg(actor_kind || ' ' || action || ' ' || details, ', ' order by id) from audit`).Scan(&trail); err != nil {
		t.Fatal(err)
	}
	if trail != `operator signing_keys.rotated {"keys": 1}, operator signing_keys.rotated {"keys": 0}, operator signing_keys.revoked {"keys": 2}` {
		t.Errorf("the audit trail says %s", trail)
	}
}
