package schema

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/lib/pq"
)

// Grants returns the privileges that the migrations grant to each role, for example "select on customers", "update (last_used_at)
// on proxy_keys" for a column, or "execute on prune_audit" for a function. It parses the migrations, so that no second list can
// differ from them.
func Grants() (map[string][]string, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing the migrations: %w", err)
	}
	granted := map[string][]string{}
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("reading a migration: %w", err)
		}
		for _, statement := range grantPattern.FindAllString(sqlComment.ReplaceAllString(string(content), ""), -1) {
			if err := applyGrant(statement, granted); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for _, all := range granted {
		slices.Sort(all)
	}
	return granted, nil
}

var (
	sqlComment   = regexp.MustCompile(`--[^\n]*`)
	grantPattern = regexp.MustCompile(`(?im)^\s*(grant|revoke)\s[^;]*;`)
	grantParts   = regexp.MustCompile(`(?is)^\s*(grant|revoke)\s+(.+)\s+on\s+(?:table\s+|function\s+)?([a-z0-9_,\s]+?)(?:\s*\([^)]*\))?\s+(?:to|from)\s+([a-z0-9_,\s]+?)\s*;$`)
	privilege    = regexp.MustCompile(`([a-z]+)(?:\s*\(([^)]*)\))?`)
)

// applyGrant adds the privileges of a grant statement to granted. For a revoke statement it removes them.
func applyGrant(statement string, granted map[string][]string) error {
	parts := grantParts.FindStringSubmatch(statement)
	if parts == nil {
		return fmt.Errorf("cannot parse this grant: %s", strings.Join(strings.Fields(statement), " "))
	}
	for _, table := range list(parts[3]) {
		for _, p := range privilege.FindAllStringSubmatch(strings.ToLower(parts[2]), -1) {
			columns := list(p[2])
			if p[2] == "" {
				columns = []string{""}
			}
			for _, column := range columns {
				name := grantName(p[1], column, table)
				for _, role := range list(parts[4]) {
					granted[role] = slices.DeleteFunc(granted[role], func(g string) bool { return g == name })
					if strings.EqualFold(parts[1], "grant") {
						granted[role] = append(granted[role], name)
					}
				}
			}
		}
	}
	return nil
}

// Granted returns the privileges that the database grants to each service role and to PUBLIC (under the name "public"). The
// form is that of Grants. It leaves out the functions of triggers, which cannot be called, and of extensions.
func Granted(ctx context.Context, db *sql.DB) (map[string][]string, error) {
	const q = `
		select coalesce(r.rolname, 'public'), g.privilege_type, coalesce(g.attname, ''),
		       case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname
		  from (select oid as relation, null as attname, (aclexplode(relacl)).* from pg_class
		        union all
		        select attrelid, attname, (aclexplode(attacl)).* from pg_attribute) g
		  join pg_class c on c.oid = g.relation
		  join pg_namespace n on n.oid = c.relnamespace and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
		  left join pg_roles r on r.oid = g.grantee
		 where g.grantee = 0 or r.rolname = any ($1)
		union all
		select coalesce(r.rolname, 'public'), g.privilege_type, '', g.proname
		  from (select oid, proname, pronamespace, prorettype, (aclexplode(coalesce(proacl, acldefault('f', proowner)))).* from pg_proc) g
		  left join pg_roles r on r.oid = g.grantee
		 where (g.grantee = 0 or r.rolname = any ($1))
		   and g.pronamespace = 'public'::regnamespace and g.prorettype <> 'trigger'::regtype
		   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = g.oid and d.deptype = 'e')`
	rows, err := db.QueryContext(ctx, q, pq.Array(Roles))
	if err != nil {
		return nil, fmt.Errorf("listing the grants: %w", err)
	}
	defer rows.Close()
	granted := map[string][]string{}
	for rows.Next() {
		var role, privilege, column, table string
		if err := rows.Scan(&role, &privilege, &column, &table); err != nil {
			return nil, fmt.Errorf("reading a grant: %w", err)
		}
		granted[role] = append(granted[role], grantName(privilege, column, table))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the grants: %w", err)
	}
	for _, all := range granted {
		slices.Sort(all)
	}
	return granted, nil
}

func grantName(privilege, column, table string) string {
	if column != "" {
		column = " (" + column + ")"
	}
	return strings.ToLower(privilege) + column + " on " + table
}

func list(text string) []string {
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
