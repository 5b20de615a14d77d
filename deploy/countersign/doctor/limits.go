package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/schema"
)

const limitsRepair = "run countersign migrate, which sets them. A setting for the role in one database, and the setting of a pooler, must not change them:\n" +
	"otherwise a statement that a service has given up runs later, and charges attempts that nobody compares"

// limits checks that the roles have their limits of connections, and that these leave some connections to administrators.
func (r *Report) limits(ctx context.Context, db *sqlx.DB, _ Config) error {
	const q = `
		select count(*) filter (where rolconnlimit < 0) as unlimited, coalesce(sum(rolconnlimit), 0) as connections,
		       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as allowed
		  from pg_roles where rolname = any ($1)`
	var found struct{ Unlimited, Connections, Allowed int }
	if err := db.GetContext(ctx, &found, q, pq.Array(schema.Roles)); err != nil {
		return fmt.Errorf("reading the limits of connections: %w", err)
	}
	r.check(found.Unlimited == 0, "each role has a limit of connections", fmt.Sprintf("%d roles have no limit of connections", found.Unlimited),
		"run countersign migrate: otherwise one service can take all connections of the server")
	if found.Connections >= found.Allowed {
		r.add(advice, fmt.Sprintf("the roles together may open %d connections, and the server allows %d", found.Connections, found.Allowed),
			"set max_connections of Postgres higher, or DATABASE_ROLE_CONNECTIONS of countersign migrate lower:\notherwise the services can leave no connection to other users")
	}
	return nil
}

// timeLimits checks the time limits that a role has after it has logged in, also through a pooler.
func (r *Report) timeLimits(ctx context.Context, db *sqlx.DB, role string) {
	var names, wrongNames []string
	for name := range schema.TimeLimits {
		names = append(names, name)
	}
	var found []struct {
		Name         string
		Milliseconds int64
	}
	const q = `select name, setting::bigint as milliseconds from pg_settings where name = any ($1) order by name`
	if err := db.SelectContext(ctx, &found, q, pq.Array(names)); err != nil {
		r.add(wrong, "the time limits of "+role+" cannot be read: "+err.Error(), limitsRepair)
		return
	}
	for _, f := range found {
		if got, want := time.Duration(f.Milliseconds)*time.Millisecond, schema.TimeLimits[f.Name]; got != want {
			wrongNames = append(wrongNames, fmt.Sprintf("%s is %s, not %s", f.Name, got, want))
		}
	}
	slices.Sort(wrongNames)
	r.check(len(wrongNames) == 0, role+" has its time limits", "time limits of "+role+": "+strings.Join(wrongNames, ", "), limitsRepair)
}
