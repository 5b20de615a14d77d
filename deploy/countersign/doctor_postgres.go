package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/schema"
)

const (
	// clockTolerance is how far this machine's clock may be from Postgres's. Access tokens are judged by the former.
	clockTolerance = 2 * time.Second
	// oldestPostgres is the oldest release that still gets corrections, and that the tests run on.
	oldestPostgres = 150000
)

func (r *report) postgres(ctx context.Context, cfg doctorConfig) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	db, err := openDatabase(ctx, cfg.DatabaseURL)
	if err != nil {
		r.add(wrong, "Postgres cannot be used: "+err.Error(), "see that the server runs and is to be reached from here, and that DATABASE_URL has the right host, user, password and database")
		return
	}
	defer db.Close()
	r.add(fine, "Postgres answers", "")
	for _, look := range []func(context.Context, *sql.DB, doctorConfig) error{r.server, r.clock, r.migrations, r.roles, r.rings, r.mails} {
		if err := look(ctx, db, cfg); err != nil {
			r.add(wrong, "Postgres cannot be asked: "+err.Error(), "let DATABASE_URL name the user who owns the schema, as for countersign migrate")
		}
	}
}

// server looks at what makes an acknowledged attempt stay charged.
func (r *report) server(ctx context.Context, db *sql.DB, _ doctorConfig) error {
	var version int
	var fsync, fullPages, commit string
	const q = `select current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')`
	if err := db.QueryRowContext(ctx, q).Scan(&version, &fsync, &fullPages, &commit); err != nil {
		return fmt.Errorf("reading its settings: %w", err)
	}
	r.hold(version >= oldestPostgres, fmt.Sprintf("Postgres is release %d", version/10000), fmt.Sprintf("Postgres is release %d", version/10000), "use Postgres 15 or newer; 17 is what docker-compose.yml runs")
	r.hold(fsync == "on" && fullPages == "on" && commit != "off", "what Postgres acknowledges is durable",
		fmt.Sprintf("a crash of Postgres may forget charged attempts: fsync=%s, full_page_writes=%s, synchronous_commit=%s", fsync, fullPages, commit),
		"set all three to on; else whoever can crash the server gets attempts back")
	return nil
}

func (r *report) clock(ctx context.Context, db *sql.DB, _ doctorConfig) error {
	var theirs time.Time
	before := time.Now()
	if err := db.QueryRowContext(ctx, `select clock_timestamp()`).Scan(&theirs); err != nil {
		return fmt.Errorf("reading its clock: %w", err)
	}
	r.clocks(theirs.Sub(before.Add(time.Since(before) / 2)))
	return nil
}

func (r *report) clocks(apart time.Duration) {
	r.hold(apart.Abs() <= clockTolerance, "the clock here agrees with Postgres's",
		fmt.Sprintf("the clock here is %s from Postgres's", apart.Abs().Round(time.Millisecond)),
		"let both machines follow the same time servers (NTP): access tokens are judged by the one, sessions and locks by the other")
}

func (r *report) migrations(ctx context.Context, db *sql.DB, _ doctorConfig) error {
	const mend = "run countersign migrate of this very release, then start the services"
	empty, err := schema.Empty(ctx, db)
	switch {
	case errors.Is(err, schema.ErrTooOld):
		r.add(wrong, "this database was made by a version of Countersign from before the first release", "create the database again, then run countersign migrate")
		return nil
	case err != nil:
		return err
	case empty:
		r.add(wrong, "the database is empty", mend)
		return nil
	}
	pending, err := schema.Pending(ctx, db)
	if err != nil {
		return err
	}
	r.hold(!pending, "no migration is pending", "a migration is pending", mend)
	return nil
}

// mails looks whether what auth has to mail goes out.
func (r *report) mails(ctx context.Context, db *sql.DB, _ doctorConfig) error {
	var waiting int
	const q = `select count(*) from mails where due_at is not null and created_at < now() - interval '5 minutes'`
	if err := db.QueryRowContext(ctx, q).Scan(&waiting); err != nil {
		return fmt.Errorf("looking for mails: %w", err)
	}
	if waiting == 0 {
		r.add(fine, "no mail waits to be sent", "")
	} else {
		r.add(advice, fmt.Sprintf("%d mails have waited to be sent for more than 5 minutes", waiting), "set SMTP_URL; where it is set, auth's log says why they were not sent")
	}
	return nil
}

// roles looks whether each service may do what it has to, and no more.
func (r *report) roles(ctx context.Context, db *sql.DB, cfg doctorConfig) error {
	said, err := schema.Grants()
	if err != nil {
		return err
	}
	done, err := schema.Granted(ctx, db)
	if err != nil {
		return err
	}
	passwords := map[string]string{schema.RoleAuth: cfg.Auth, schema.RolePinAdmin: cfg.PinAdmin, schema.RolePinInternal: cfg.PinInternal}
	for _, role := range schema.Roles {
		exists, err := r.powers(ctx, db, role)
		if err != nil {
			return err
		}
		if !exists {
			continue
		}
		r.grants(role, without(said[role], done[role]), without(done[role], said[role]))
		r.login(ctx, cfg.DatabaseURL, role, passwords[role])
	}
	r.hold(len(done["public"]) == 0, "everybody may do nothing", "everybody may do: "+strings.Join(done["public"], ", "), "revoke each of these from public")
	return nil
}

// powers looks at what a role may do beside its grants.
func (r *report) powers(ctx context.Context, db *sql.DB, role string) (exists bool, err error) {
	const q = `
		select array_to_string(array_remove(array[
		         case when rolsuper then 'is a superuser' end, case when rolcreaterole then 'may create roles' end,
		         case when rolcreatedb then 'may create databases' end, case when rolreplication then 'may replicate' end,
		         case when rolbypassrls then 'passes row security' end,
		         case when has_schema_privilege(oid, 'public', 'create') then 'may create tables' end,
		         (select 'owns ' || string_agg(relname, ', ') from pg_class where relowner = r.oid),
		         (select 'is a member of ' || string_agg(g.rolname, ', ') from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid)
		       ], null), ', ')
		  from pg_roles r where rolname = $1`
	var powers string
	switch err := db.QueryRowContext(ctx, q, role).Scan(&powers); {
	case err == sql.ErrNoRows:
		r.add(wrong, "the role "+role+" does not exist", "run countersign migrate, which makes it")
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking at the role %s: %w", role, err)
	}
	r.hold(powers == "", role+" is an ordinary role", role+" "+powers,
		"take that away (alter role "+role+" nosuperuser nocreaterole nocreatedb noreplication nobypassrls; revoke; alter table … owner to …):\nwho breaks into the service has it too")
	return true, nil
}

func (r *report) grants(role string, missing, excess []string) {
	r.hold(len(missing) == 0, role+" may do what its service does", role+" lacks: "+strings.Join(missing, ", "),
		"run countersign migrate; when nothing is pending, somebody has revoked it: grant each of these")
	r.hold(len(excess) == 0, role+" may do nothing else", role+" may also do: "+strings.Join(excess, ", "), "revoke each of these: no migration has granted it")
}

// login tries a service's password, when it was given.
func (r *report) login(ctx context.Context, address, role, password string) {
	if password == "" {
		r.add(skipped, "whether "+role+" can log in", "set "+strings.ToUpper(strings.TrimPrefix(role, "countersign_"))+"_DB_PASSWORD")
		return
	}
	as, err := (&stackStores{databaseURL: address}).as(role, password)
	if err != nil {
		r.add(wrong, err.Error(), "")
		return
	}
	db, err := openDatabase(ctx, as)
	if err == nil {
		db.Close()
	}
	r.hold(err == nil, role+" can log in", fmt.Sprintf("%s cannot log in: %v", role, err), "run countersign migrate with its password, and give the same to the service")
}

// without returns what is in a and not in b.
func without(a, b []string) (rest []string) {
	in := map[string]bool{}
	for _, x := range b {
		in[x] = true
	}
	for _, x := range a {
		if !in[x] {
			rest = append(rest, x)
		}
	}
	return rest
}
