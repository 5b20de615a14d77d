package pin

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// CountByKey returns the number of PINs by the id of the key of PIN_KEYS that their verifiers were made with. PINs without a
// key id are counted under the empty id.
func CountByKey(ctx context.Context, db sqlx.QueryerContext) (map[string]int, error) {
	const q = `
		select coalesce(substring(verifier from 'keyid=([^$,]+)'), '') as key, count(*) as count
		  from pin_holders where verifier is not null group by 1`
	var rows []struct {
		Key   string `db:"key"`
		Count int    `db:"count"`
	}
	if err := sqlx.SelectContext(ctx, db, &rows, q); err != nil {
		return nil, fmt.Errorf("counting PINs: %w", err)
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.Key] = row.Count
	}
	return counts, nil
}
