package stores_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// A pooler in transaction mode may send each message to another server process. So a statement must leave nothing on the
// connection that the next statement needs. Every kind of argument that the services use must still arrive.
func TestPooledConnectionPreparesNoStatement(t *testing.T) {
	t.Parallel()
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: storetest.Postgres(t).URL, Connections: 1, Pooled: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const q = `
		select $1::uuid as id, $2::uuid as missing, $3::bytea as bytes, $4::bigint as number, $5::float8 as fraction, $6::timestamptz as at,
		       $7::text[] as words, $8::jsonb->>'word' as word, $9::boolean as yes`
	var got struct {
		ID       uuid.UUID      `db:"id"`
		Missing  uuid.NullUUID  `db:"missing"`
		Bytes    []byte         `db:"bytes"`
		Number   int64          `db:"number"`
		Fraction float64        `db:"fraction"`
		At       time.Time      `db:"at"`
		Words    pq.StringArray `db:"words"`
		Word     string         `db:"word"`
		Yes      bool           `db:"yes"`
	}
	id, at := uuid.New(), time.Now().UTC().Truncate(time.Microsecond)
	args := []any{id, uuid.NullUUID{}, []byte{0, 255}, int64(1) << 40, 0.25, at, pq.StringArray{"a b", `c"d`}, `{"word": "x"}`, true}
	statement, err := db.Preparex(q)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := statement.GetContext(t.Context(), &got, args...); err != nil {
			t.Fatal(err)
		}
	}
	if got.ID != id || got.Missing.Valid || string(got.Bytes) != "\x00\xff" || got.Number != 1<<40 || got.Fraction != 0.25 ||
		!got.At.Equal(at) || len(got.Words) != 2 || got.Words[1] != `c"d` || got.Word != "x" || !got.Yes {
		t.Errorf("got %+v", got)
	}
	noRow, err := db.Preparex(`select 1 where $1`)
	if err != nil {
		t.Fatal(err)
	}
	if err := noRow.GetContext(t.Context(), new(int), false); err != sql.ErrNoRows {
		t.Errorf("no row: %v, want sql.ErrNoRows", err)
	}
	if _, err := db.Exec(`create temporary table words (word text)`); err != nil {
		t.Fatal(err)
	}
	insert, err := db.Preparex(`insert into words values ($1)`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := insert.Exec("x"); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.Get(&left, `select count(*) from pg_prepared_statements`); err != nil || left != 0 {
		t.Errorf("%d prepared statements, %v", left, err)
	}
}
