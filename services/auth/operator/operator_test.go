package operator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/operator"
)

const (
	firstKey  = "first:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	secondKey = "second:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
)

func open(t *testing.T) *sqlx.DB {
	t.Parallel()
	return storetest.Postgres(t).Open(t, "")
}

func exec(t *testing.T, db *sqlx.DB, q string, args ...any) {
	t.Helper()
	if _, err := db.Exec(q, args...); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

func parse(t *testing.T, text string) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// column is a column of values that auth seals, with the statement that adds a row to it.
type column struct {
	purpose     keyring.Purpose
	table, name string
	insert      string
}

var columns = []column{
	{keyring.SigningKeys, "signing_keys", "private_sealed",
		`insert into signing_keys (id, public_key, private_sealed) values ($1, decode(repeat('00', 32), 'hex'), $2)`},
	{keyring.SecondFactors, "second_factors", "secret_sealed",
		`with u as (insert into users (id, email, password_hash) values ($1::uuid, $1::uuid::text || '@example.com', '') returning id)
		 insert into second_factors (user_id, secret_sealed) select id, $2 from u`},
	{keyring.ExchangeKeys, "exchange_keys", "credentials_sealed",
		`with u as (insert into users (email, password_hash) values ('user-of-' || $1::uuid::text || '@example.com', '') returning id)
		 insert into exchange_keys (id, user_id, exchange, masked_key, is_testnet, permissions, credentials_sealed)
		 select $1::uuid, id, 'sandbox', '', false, '{}', $2 from u`},
}

func TestEverySealedColumnIsCountedAndRenewed(t *testing.T) {
	db := open(t)
	var names []string
	const q = `select table_name || '.' || column_name from information_schema.columns where column_name like '%sealed' and table_schema = 'public' order by 1`
	if err := db.Select(&names, q); err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, c := range columns {
		known = append(known, c.table+"."+c.name)
	}
	for _, c := range approval.Sealed { // under PIN_KEYS: a test of countersign keys renews them
		known = append(known, c.Table+"."+c.Column)
	}
	slices.Sort(known)
	if !slices.Equal(names, known) {
		t.Errorf("the sealed columns of the database are %q, this test knows %q", names, known)
	}

	first := parse(t, firstKey)
	const rows = 3
	for _, c := range columns {
		for i := range rows {
			id := fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", i)
			sealed, err := first.Seal(c.purpose, id, []byte(c.name))
			if err != nil {
				t.Fatal(err)
			}
			exec(t, db, c.insert, id, sealed)
		}
	}
	want := func(key string) {
		t.Helper()
		counts, err := operator.CountSealed(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		if want := []operator.Count{{key, "exchange keys", rows}, {key, "second factors", rows}, {key, "signing keys", rows}}; !slices.Equal(counts, want) {
			t.Errorf("counted %v, want %v", counts, want)
		}
	}
	want("first")
	if err := operator.RenewSeals(t.Context(), db, parse(t, secondKey)); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("renewed without the key that opens the values: %v", err)
	}
	want("first")

	var before []byte
	for range 2 { // the second time there is nothing to renew
		if err := operator.RenewSeals(t.Context(), db, parse(t, secondKey+","+firstKey)); err != nil {
			t.Fatal(err)
		}
		want("second")
		all := openAll(t, db, parse(t, secondKey))
		if before != nil && !bytes.Equal(all, before) {
			t.Error("values under the current key were sealed again")
		}
		before = all
	}
}

// openAll checks that every value opens with the ring, and returns all sealed values.
func openAll(t *testing.T, db *sqlx.DB, ring *keyring.Ring) (all []byte) {
	t.Helper()
	for _, c := range columns {
		id := "id"
		if c.table == "second_factors" {
			id = "user_id"
		}
		var rows []struct {
			ID     string `db:"id"`
			Sealed []byte `db:"sealed"`
		}
		if err := db.Select(&rows, fmt.Sprintf(`select %s as id, %s as sealed from %s order by 1`, id, c.name, c.table)); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if plain, err := ring.Open(c.purpose, row.ID, row.Sealed); err != nil || string(plain) != c.name {
				t.Errorf("%s %s: %q, %v", c.table, row.ID, plain, err)
			}
			all = append(all, row.Sealed...)
		}
	}
	return all
}

func TestSigningKeysAreRotatedAndRevoked(t *testing.T) {
	db := open(t)
	exec(t, db, `insert into signing_keys (id, public_key, private_sealed, retired_at)
		select gen_random_uuid(), decode(repeat('00', 32), 'hex'), '', at from unnest(array[null, now() - interval '1 hour']) at`)
	ctx := caller.NewContext(t.Context(), caller.Caller{Kind: caller.Operator, RequestID: "run-1"})
	for _, step := range []struct {
		name   string
		change func(context.Context, *sqlx.DB) error
		want   string
	}{
		{"rotate", operator.RotateSigningKeys, "2 keys, 1 signs for 15 minutes"},
		{"rotate again", operator.RotateSigningKeys, "2 keys, 1 signs for 15 minutes"},
		{"revoke", operator.RevokeSigningKeys, "0 keys, 0 signs for 15 minutes"},
	} {
		if err := step.change(ctx, db); err != nil {
			t.Fatal(err)
		}
		var got string
		const q = `select format('%s keys, %s signs for 15 minutes', count(*),
			count(*) filter (where retired_at - now() between interval '14 minutes' and interval '15 minutes')) from signing_keys`
		if err := db.Get(&got, q); err != nil || got != step.want {
			t.Errorf("%s: %s, %v", step.name, got, err)
		}
	}
	var audit string
	const q = `select string_agg(actor_kind || ' ' || action || ' ' || details, ', ' order by id) from audit`
	if err := db.Get(&audit, q); err != nil {
		t.Fatal(err)
	}
	const want = `operator signing_keys.rotated {"keys": 1}, operator signing_keys.rotated {"keys": 0}, operator signing_keys.revoked {"keys": 2}`
	if audit != want {
		t.Errorf("the audit rows are %s", audit)
	}
}

func TestOverdueMails(t *testing.T) {
	db := open(t)
	exec(t, db, `with u as (insert into users (email, password_hash) values ('ann@example.test', '') returning id)
		insert into mails (id, user_id, kind, created_at, expires_at, due_at)
		select gen_random_uuid(), id, 'notice', now() - age, now(), due from u,
		       (values (interval '6 minutes', now()), ('4 minutes', now()), ('1 hour', null)) as m (age, due)`)
	if n, err := operator.OverdueMails(t.Context(), db, 5*time.Minute); err != nil || n != 1 {
		t.Errorf("%d overdue mails, want 1: %v", n, err)
	}
}
