package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/services/auth/operator"
)

const (
	// clockTolerance is the largest difference between the clock of this machine and the clock of Postgres.
	clockTolerance = 2 * time.Second
	// oldestPostgres is the oldest supported release, in the form of server_version_num.
	oldestPostgres = 150000
	// mailDelay is the age above which the doctor reports a mail that was not sent.
	mailDelay = 5 * time.Minute
)

func (r *Report) postgres(ctx context.Context, c Config) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	db, err := database.Open(ctx, c.DatabaseURL)
	if err != nil {
		r.add(wrong, "Postgres cannot be used: "+err.Error(), "check that the server runs, that this machine can reach it, and that DATABASE_URL has the right host, user, password and database")
		return
	}
	defer db.Close()
	r.add(ok, "Postgres answers", "")
	for _, check := range []func(context.Context, *sqlx.DB, Config) error{
		r.durability, r.clock, r.migrations, r.roles, r.limits, r.keyrings, r.mails, r.retention, r.entry,
	} {
		if err := check(ctx, db, c); err != nil {
			r.add(wrong, "a check of Postgres failed: "+err.Error(), "set DATABASE_URL with the user that owns the schema, as for countersign migrate")
		}
	}
}

// durability checks the settings that keep an acknowledged attempt charged after a crash.
func (r *Report) durability(ctx context.Context, db *sqlx.DB, _ Config) error {
	var version int
	var fsync, fullPages, commit string
	const q = `select current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')`
	if err := db.QueryRowContext(ctx, q).Scan(&version, &fsync, &fullPages, &commit); err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	release := fmt.Sprintf("Postgres is release %d", version/10000)
	r.check(version >= oldestPostgres, release, release+", which is too old", "use Postgres 15 or newer; docker-compose.yml runs 17")
	r.check(fsync == "on" && fullPages == "on" && commit != "off", "a crash of Postgres forgets no charged attempt",
		fmt.Sprintf("a crash of Postgres may forget charged attempts: fsync=%s, full_page_writes=%s, synchronous_commit=%s", fsync, fullPages, commit),
		"set all three to on: otherwise an attacker who can crash the server gets more attempts")
	return nil
}

func (r *Report) clock(ctx context.Context, db *sqlx.DB, _ Config) error {
	var server time.Time
	before := time.Now()
	if err := db.QueryRowContext(ctx, `select clock_timestamp()`).Scan(&server); err != nil {
		return fmt.Errorf("reading the clock: %w", err)
	}
	r.clockDifference(server.Sub(before.Add(time.Since(before) / 2)))
	return nil
}

func (r *Report) clockDifference(difference time.Duration) {
	r.check(difference.Abs() <= clockTolerance, "the clock of this machine agrees with the clock of Postgres",
		fmt.Sprintf("the clock of this machine differs from the clock of Postgres by %s", difference.Abs().Round(time.Millisecond)),
		"set both clocks from the same time servers (NTP): services check access tokens by their own clock, and sessions and locks by the clock of Postgres")
}

func (r *Report) migrations(ctx context.Context, db *sqlx.DB, _ Config) error {
	const repair = "run countersign migrate of this release, then start the services"
	empty, err := schema.Empty(ctx, db.DB)
	switch {
	case errors.Is(err, schema.ErrTooOld):
		r.add(wrong, "this database was made by a version of Countersign from before the first release", "create the database again, then run countersign migrate")
		return nil
	case err != nil:
		return err
	case empty:
		r.add(wrong, "the database is empty", repair)
		return nil
	}
	pending, err := schema.Pending(ctx, db.DB)
	if err != nil {
		return err
	}
	r.check(!pending, "no migration is pending", "a migration is pending", repair)
	return nil
}

// mails checks that auth sends its mails.
func (r *Report) mails(ctx context.Context, db *sqlx.DB, _ Config) error {
	waiting, err := operator.OverdueMails(ctx, db, mailDelay)
	if err != nil {
		return err
	}
	if waiting == 0 {
		r.add(ok, "every mail is sent within 5 minutes", "")
	} else {
		r.add(advice, fmt.Sprintf("%d mails were not sent within 5 minutes", waiting), "set SMTP_URL. If it is set, the log of auth says why the mails were not sent")
	}
	return nil
}

// entry says which instances protect actions by approvals, but let the agent runtime set PINs.
func (r *Report) entry(ctx context.Context, db *sqlx.DB, _ Config) error {
	const most = 5
	names, total, err := policy.TrustingAgents(ctx, db, most)
	if err != nil {
		return err
	}
	if total == 0 {
		r.add(ok, "no instance with approvals takes PINs from its agents", "")
		return nil
	}
	what := fmt.Sprintf("%d instances with approvals take PINs from their agents (pin_entry any): %q", total, names)
	if total > most {
		what += " and others"
	}
	r.add(advice, what, "set pin_entry of their policy to page, if nobody gives a PIN in a chat any more. Until then, the agent runtime itself can set an identity's PIN and approve with it")
	return nil
}

// retention checks that the services delete old rows.
func (r *Report) retention(ctx context.Context, db *sqlx.DB, c Config) error {
	var late []string
	for _, rule := range append(c.AuthRetention.Rules(), c.PinAdminRetention.Rules()...) {
		problems, err := rule.Late(ctx, db)
		if err != nil {
			return err
		}
		late = append(late, problems...)
	}
	r.check(len(late) == 0, "old rows are deleted in time", strings.Join(late, "; "),
		"check that auth and pin-admin run, and search their logs for \"deleting old rows failed\".\nGive doctor the same RETENTION_… settings as the services")
	return nil
}
