package doctor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/pkg/schema"
)

// roles checks that each service's role has the privileges that the migrations grant, and no others.
func (r *Report) roles(ctx context.Context, db *sqlx.DB, c Config) error {
	wanted, err := schema.Grants()
	if err != nil {
		return err
	}
	granted, err := schema.Granted(ctx, db.DB)
	if err != nil {
		return err
	}
	passwords := c.passwords().ByRole()
	for _, role := range schema.Roles {
		exists, err := r.attributes(ctx, db, role)
		if err != nil {
			return err
		}
		if !exists {
			continue
		}
		r.grants(role, without(wanted[role], granted[role]), without(granted[role], wanted[role]))
		r.login(ctx, c.DatabaseURL, role, passwords[role])
	}
	r.check(len(granted["public"]) == 0, "PUBLIC has no privileges", "PUBLIC has privileges: "+strings.Join(granted["public"], ", "), "revoke each of these from public")
	return nil
}

// attributes checks that a role has no rights besides its grants: attributes, owned tables and memberships.
func (r *Report) attributes(ctx context.Context, db *sqlx.DB, role string) (exists bool, err error) {
	const q = `
		select array_to_string(array_remove(array[
		         case when rolsuper then 'is a superuser' end, case when rolcreaterole then 'may create roles' end,
		         case when rolcreatedb then 'may create databases' end, case when rolreplication then 'may replicate' end,
		         case when rolbypassrls then 'bypasses row security' end,
		         case when has_schema_privilege(oid, 'public', 'create') then 'may create tables' end,
		         (select 'owns ' || string_agg(relname, ', ') from pg_class where relowner = r.oid),
		         (select 'is a member of ' || string_agg(g.rolname, ', ') from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid)
		       ], null), ', ')
		  from pg_roles r where rolname = $1`
	var attributes string
	err = db.GetContext(ctx, &attributes, q, role)
	if errors.Is(err, sql.ErrNoRows) {
		r.add(wrong, "the role "+role+" does not exist", "run countersign migrate, which creates it")
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the role %s: %w", role, err)
	}
	r.check(attributes == "", role+" is an ordinary role", role+" "+attributes,
		"remove these rights (alter role "+role+" nosuperuser nocreaterole nocreatedb noreplication nobypassrls; revoke; alter table … owner to …):\nan attacker who breaks into the service has the same rights")
	return true, nil
}

func (r *Report) grants(role string, missing, excess []string) {
	r.check(len(missing) == 0, role+" has the privileges that its service needs", role+" lacks: "+strings.Join(missing, ", "),
		"run countersign migrate. If no migration is pending, the privileges were revoked: grant each of these")
	r.check(len(excess) == 0, role+" has no other privileges", role+" also has: "+strings.Join(excess, ", "), "revoke each of these: no migration has granted it")
}

// login checks that a role can log in with its password, if the password is set.
func (r *Report) login(ctx context.Context, address, role, password string) {
	if password == "" {
		r.add(skipped, "whether "+role+" can log in", "set "+strings.ToUpper(strings.TrimPrefix(role, "countersign_"))+"_DB_PASSWORD")
		return
	}
	asRole, err := database.URLAs(address, role, password)
	if err != nil {
		r.add(wrong, err.Error(), "correct DATABASE_URL")
		return
	}
	db, err := database.Open(ctx, asRole)
	if err == nil {
		defer db.Close()
		r.timeLimits(ctx, db, role)
	}
	r.check(err == nil, role+" can log in", fmt.Sprintf("%s cannot log in: %v", role, err), "run countersign migrate with the role's password, and give the same password to the service")
}

// without returns the items of a that are not in b.
func without(a, b []string) (rest []string) {
	for _, item := range a {
		if !slices.Contains(b, item) {
			rest = append(rest, item)
		}
	}
	return rest
}
