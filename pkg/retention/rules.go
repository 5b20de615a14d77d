package retention

import (
	"errors"
	"fmt"
	"time"
)

// Rule says which rows of a table are old.
type Rule struct {
	// Name is the table, followed by the kind of rows if the table has several rules.
	Name  string
	table string
	// Period is how long a row is kept. 0: for ever, which only a partitioned table allows.
	Period time.Duration
	// old is the SQL condition of rows that are older than $1 seconds. Postgres checks it again if another transaction has changed
	// the row meanwhile. So it must be true only for rows that no request needs.
	old string
	// prune is the function that drops the old partitions of a partitioned table. Such a table has no condition.
	prune string
}

// before is the time before which a row is old.
const before = `now() - $1::float8 * interval '1 second'`

// AuthConfig has the periods for the tables of auth.
type AuthConfig struct {
	// Sessions is how long a sign-in session and its refresh tokens are kept after the session has ended: at least 24h.
	Sessions time.Duration `envconfig:"RETENTION_SESSIONS" default:"720h"`
	// Unconfirmed is how long a user whose address is not confirmed is kept: at least 24h.
	Unconfirmed time.Duration `envconfig:"RETENTION_UNCONFIRMED_USERS" default:"168h"`
	// Mails is how long a mail is kept after its link has expired: at least 1h.
	Mails time.Duration `envconfig:"RETENTION_MAILS" default:"720h"`
	// GuessBudgets is how long the failures of a login's guess budget count after the last attempt: at least 2160h (90 days).
	GuessBudgets time.Duration `envconfig:"RETENTION_GUESS_BUDGETS" default:"8760h"`
}

// Validate names every setting that is wrong.
func (c AuthConfig) Validate() error {
	return errors.Join(atLeast("RETENTION_SESSIONS", c.Sessions, 24*time.Hour), atLeast("RETENTION_UNCONFIRMED_USERS", c.Unconfirmed, 24*time.Hour),
		atLeast("RETENTION_MAILS", c.Mails, time.Hour), atLeast("RETENTION_GUESS_BUDGETS", c.GuessBudgets, 2160*time.Hour))
}

// Rules are the rules for the tables that auth prunes. A session is deleted after its refresh tokens, so that a statement
// deletes a limited number of rows.
func (c AuthConfig) Rules() []Rule {
	const ended = `least(revoked_at, expires_at) < ` + before
	return []Rule{
		{Name: "refresh_tokens", table: "refresh_tokens", Period: c.Sessions,
			old: `session_id in (select id from user_sessions where ` + ended + `)`},
		{Name: "user_sessions", table: "user_sessions", Period: c.Sessions,
			old: ended + ` and not exists (select from refresh_tokens where session_id = user_sessions.id)`},
		{Name: "users_unconfirmed", table: "users", Period: c.Unconfirmed,
			old: `email_confirmed_at is null and created_at < ` + before + `
			      and not exists (select from mails where user_id = users.id and expires_at > now())`},
		{Name: "mails", table: "mails", Period: c.Mails, old: `expires_at < ` + before},
		// A request must wait for one minute after the last one.
		{Name: "mail_pauses", table: "mail_pauses", Period: time.Hour, old: `mailed_at < ` + before},
		// The quota counts the mails of a day.
		{Name: "mail_quotas", table: "mail_quotas", Period: 24 * time.Hour, old: `changed_at < ` + before},
		// An expired challenge is refused like an unknown one.
		{Name: "login_challenges", table: "login_challenges", Period: time.Hour, old: `expires_at < ` + before},
		// auth knows a network for 30 days. Then the row is the same as no row.
		{Name: "known_networks", table: "known_networks", Period: 720 * time.Hour, old: `used_at < ` + before},
		// A budget without failures is the same as no budget. The day is longer than any attempt that is not settled yet.
		{Name: "guess_budgets_without_failures", table: "guess_budgets", Period: 24 * time.Hour,
			old: `charged = forgiven and locks = 0 and locked_until is null and deactivated_by is null and charged_at < ` + before},
		// Deleting failures renews the budget. So this is only for the budgets that strangers can make, for invented addresses, and
		// only after a long time. A budget that is used up is never deleted: only its owner renews it.
		{Name: "guess_budgets_with_failures", table: "guess_budgets", Period: c.GuessBudgets,
			old: `kind in ('password', 'password_known_network') and charged > forgiven and deactivated_by is null
			      and greatest(charged_at, locked_until) < ` + before + ` and charged_at < ` + before},
	}
}

// PinAdminConfig has the periods for the tables that pin-admin prunes.
type PinAdminConfig struct {
	// Attempts is how long charged attempts are kept: at least 168h (7 days).
	Attempts time.Duration `envconfig:"RETENTION_ATTEMPTS" default:"2160h"`
	// Approvals is how long an approval that is not pending or approved any more is kept, from the request: at least 24h.
	Approvals time.Duration `envconfig:"RETENTION_APPROVALS" default:"2160h"`
	// Audit is how long the audit trail is kept: at least 2160h (90 days). 0: for ever.
	Audit time.Duration `envconfig:"RETENTION_AUDIT" default:"9504h"`
}

// Validate names every setting that is wrong.
func (c PinAdminConfig) Validate() error {
	err := errors.Join(atLeast("RETENTION_ATTEMPTS", c.Attempts, 168*time.Hour), atLeast("RETENTION_APPROVALS", c.Approvals, 24*time.Hour))
	if c.Audit != 0 {
		err = errors.Join(err, atLeast("RETENTION_AUDIT", c.Audit, 2160*time.Hour))
	}
	return err
}

// Rules are the rules for the tables that pin-admin prunes. A month is dropped at once, so a row is kept for up to a month
// longer than the period.
func (c PinAdminConfig) Rules() []Rule {
	return []Rule{
		{Name: "attempts", table: "attempts", Period: c.Attempts, prune: "prune_attempts"},
		// The session would have ended before.
		{Name: "revoked_sessions", table: "revoked_sessions", Period: time.Hour, old: `expires_at < ` + before},
		// A receipt is valid for 2 minutes. A repeated use gets the same receipt again only while its key is here.
		{Name: "receipt_keys", table: "receipt_keys", Period: 720 * time.Hour, old: `retired_at < ` + before},
		// The limits of package approval look at the last hours only.
		{Name: "approvals", table: "approvals", Period: c.Approvals, old: `created_at < ` + before + ` and status not in ('pending', 'approved')`},
		// A person who follows an old link reads that it has expired or was used.
		{Name: "pin_enrolments", table: "pin_enrolments", Period: 720 * time.Hour, old: `expires_at < ` + before},
		// The browser becomes unknown, as if its cookie had been deleted.
		{Name: "known_browsers", table: "known_browsers", Period: 8760 * time.Hour, old: `used_at < ` + before},
		{Name: "audit", table: "audit", Period: c.Audit, prune: "prune_audit"},
	}
}

func atLeast(setting string, period, shortest time.Duration) error {
	if period < shortest {
		return fmt.Errorf("%s must be at least %dh", setting, int(shortest.Hours()))
	}
	return nil
}
