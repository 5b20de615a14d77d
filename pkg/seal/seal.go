// Package seal counts and renews the values that a column holds sealed under a keyring, so that an operator can replace a key.
// Each package that seals values declares its Column.
package seal

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
)

// Column is a column of sealed values. All fields are constants of the package that owns the table: they become part of SQL.
type Column struct {
	// Values names the values in messages, in the plural.
	Values string
	// Table and Column name the sealed column. ID names a uuid column: a sealed value opens only
	// together with the value of this column in its row.
	Table, Column, ID string
	Purpose           keyring.Purpose
}

// KeyID is the SQL expression for the id of the key that sealed a value: keyring.Ring.Seal writes it before a colon.
func (c Column) KeyID() string { return `split_part(encode(` + c.Column + `, 'escape'), ':', 1)` }

// Count returns the number of sealed values by the id of their key.
func (c Column) Count(ctx context.Context, db *sqlx.DB) (map[string]int, error) {
	var rows []struct {
		Key   string `db:"key"`
		Count int    `db:"count"`
	}
	q := fmt.Sprintf(`select %s as key, count(*) from %s group by 1`, c.KeyID(), c.Table)
	if err := db.SelectContext(ctx, &rows, q); err != nil {
		return nil, fmt.Errorf("counting the %s: %w", c.Values, err)
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.Key] = row.Count
	}
	return counts, nil
}

// batch is how many values Renew reads at once.
const batch = 500

// Renew opens every value that is sealed with another key than the ring's current key, and seals it with the current key. The
// services may run meanwhile: Renew does not overwrite a value that has changed since it was read. It returns
// keyring.ErrUnknownKey or keyring.ErrSealBroken for a value that it cannot open.
func (c Column) Renew(ctx context.Context, db *sqlx.DB, ring *keyring.Ring) error {
	q := fmt.Sprintf(`select %s as id, %s as sealed from %s where %s <> $1 and %[1]s > $2 order by 1 limit %[5]d`,
		c.ID, c.Column, c.Table, c.KeyID(), batch)
	var last uuid.UUID
	for {
		var rows []value
		if err := db.SelectContext(ctx, &rows, q, ring.Current(), last); err != nil {
			return fmt.Errorf("reading the %s: %w", c.Values, err)
		}
		if len(rows) == 0 {
			return nil
		}
		for _, v := range rows {
			if err := c.renew(ctx, db, ring, v); err != nil {
				return fmt.Errorf("renewing the %s, row %s: %w", c.Values, v.ID, err)
			}
			last = v.ID
		}
	}
}

type value struct {
	ID     uuid.UUID `db:"id"`
	Sealed []byte    `db:"sealed"`
}

func (c Column) renew(ctx context.Context, db *sqlx.DB, ring *keyring.Ring, v value) error {
	plain, err := ring.Open(c.Purpose, v.ID.String(), v.Sealed)
	if err != nil {
		return err
	}
	renewed, err := ring.Seal(c.Purpose, v.ID.String(), plain)
	if err != nil {
		return err
	}
	q := fmt.Sprintf(`update %s set %s = $3 where %s = $1 and %[2]s = $2`, c.Table, c.Column, c.ID)
	_, err = db.ExecContext(ctx, q, v.ID, v.Sealed, renewed)
	return err
}
