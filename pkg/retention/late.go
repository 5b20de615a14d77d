package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// slack is how much older than its period a row may be before Late reports it.
const slack = 24 * time.Hour

// Late returns what is wrong with the pruning of a table, or nothing. The connection must be able to read the table.
func (r Rule) Late(ctx context.Context, db *sqlx.DB) ([]string, error) {
	if r.prune != "" {
		return r.latePartitions(ctx, db)
	}
	var late bool
	q := `select exists (select from ` + r.table + ` where ` + r.old + `)`
	if err := db.GetContext(ctx, &late, q, (r.Period + slack).Seconds()); err != nil {
		return nil, fmt.Errorf("searching for old rows of %s: %w", r.table, err)
	}
	if late {
		return []string{fmt.Sprintf("%s has rows that should be deleted since %s (rule %s)", r.table, slack, r.Name)}, nil
	}
	return nil, nil
}

func (r Rule) latePartitions(ctx context.Context, db *sqlx.DB) (problems []string, err error) {
	var state struct {
		Missing, Misplaced, Old bool
	}
	q := `
		select to_regclass($1 || to_char(now() at time zone 'UTC' + interval '1 month', '_YYYY_MM')) is null as missing,
		       exists (select from ` + r.table + `_default) as misplaced,
		       exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid
		                where i.inhparent = $1::regclass and c.relname ~ '_\d{4}_\d{2}$'
		                  and c.relname < $1 || to_char((now() - nullif($2::float8, 0) * interval '1 second') at time zone 'UTC', '_YYYY_MM')) as old`
	period := r.Period
	if period != 0 {
		period += slack
	}
	if err := db.GetContext(ctx, &state, q, r.table, period.Seconds()); err != nil {
		return nil, fmt.Errorf("reading the partitions of %s: %w", r.table, err)
	}
	if state.Missing {
		problems = append(problems, r.table+" has no partition for the next month")
	}
	if state.Misplaced {
		problems = append(problems, r.table+"_default has rows, because there was no partition for their month")
	}
	if state.Old {
		problems = append(problems, r.table+" has a partition that is older than its period")
	}
	return problems, nil
}
