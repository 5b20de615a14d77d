package retention

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// The periods of the tests, which are the defaults.
var (
	auth     = AuthConfig{Sessions: 720 * time.Hour, Unconfirmed: 168 * time.Hour, Mails: 720 * time.Hour, GuessBudgets: 8760 * time.Hour}
	pinAdmin = PinAdminConfig{Attempts: 2160 * time.Hour, Approvals: 2160 * time.Hour, Audit: 9504 * time.Hour}
)

// database is a test's database, with a connection of auth.
type database struct {
	storetest.People
	auth *sqlx.DB
}

func newDatabase(t *testing.T) database {
	t.Helper()
	t.Parallel()
	d := storetest.Postgres(t)
	return database{storetest.NewPeople(t, d), d.Open(t, schema.RoleAuth)}
}

// apply applies all rules of auth.
func (d database) apply(t *testing.T) {
	t.Helper()
	for _, rule := range auth.Rules() {
		if done, err := rule.Apply(t.Context(), d.auth); err != nil || !done {
			t.Errorf("%s: done: %t, %v", rule.Name, done, err)
		}
	}
}

// names returns the values of a column, in order.
func (d database) names(query string) string {
	var names pq.StringArray
	d.Get(&names, `select array(`+query+`)`)
	return strings.Join(names, " ")
}

const user = `insert into users (email, password_hash, created_at, email_confirmed_at) values ($1 || '@example.com', '', now() - $2::interval, now() - $3::interval)`

func TestEndedSessionsAndTheirTokensAreDeleted(t *testing.T) {
	d := newDatabase(t)
	d.Exec(user, "ann", "1 year", "1 year")
	for _, s := range []struct {
		name             string
		expires, revoked any
	}{
		{"live", "-1 hour", nil}, {"expired-29d", "29 days", nil}, {"expired-31d", "31 days", nil}, {"revoked-29d", "-1 hour", "29 days"},
		{"revoked-31d", "-1 hour", "31 days"}, {"revoked-29d-expired-31d", "31 days", "29 days"},
	} {
		d.Exec(`insert into user_sessions (user_id, amr, expires_at, revoked_at) select id, array[$1], now() - $2::interval, now() - $3::interval from users`,
			s.name, s.expires, s.revoked)
	}
	d.Exec(`insert into refresh_tokens (token_hash, session_id, number) select sha256((id::text || n)::bytea), id, n from user_sessions, generate_series(1, 1200) n`)
	d.apply(t)
	if got := d.names(`select amr[1] from user_sessions order by 1`); got != "expired-29d live revoked-29d" {
		t.Errorf("left: %s", got)
	}
	var tokens int
	if d.Get(&tokens, `select count(*) from refresh_tokens`); tokens != 3*1200 {
		t.Errorf("%d refresh tokens are left, want %d", tokens, 3*1200)
	}
}

func TestUnconfirmedUsersAreDeleted(t *testing.T) {
	d := newDatabase(t)
	for _, u := range []struct {
		name               string
		created, confirmed any
	}{
		{"young", "6 days 23 hours", nil}, {"old", "7 days 1 hour", nil}, {"old-with-a-link", "7 days 1 hour", nil}, {"old-confirmed", "8 days", "1 minute"},
	} {
		d.Exec(user, u.name, u.created, u.confirmed)
	}
	d.Exec(`insert into mails (id, user_id, kind, expires_at) select gen_random_uuid(), id, 'confirm', now() + interval '1 hour' from users where email like 'old-with-a-link%'`)
	d.Exec(`insert into mails (id, user_id, kind, expires_at) select gen_random_uuid(), id, 'confirm', now() - interval '1 hour' from users where email like 'old@%'`)
	d.apply(t)
	if got := d.names(`select split_part(email, '@', 1) from users order by 1`); got != "old-confirmed old-with-a-link young" {
		t.Errorf("left: %s", got)
	}
}

// A user that is confirmed while the rule waits for the user's row is kept.
func TestUserConfirmedMeanwhileIsKept(t *testing.T) {
	d := newDatabase(t)
	d.Exec(user, "ann", "8 days", nil)
	confirming := d.Begin()
	confirming.MustExec(`update users set email_confirmed_at = now()`)
	var pruning sync.WaitGroup
	pruning.Go(func() { d.apply(t) })
	d.AwaitLocks(1)
	if err := confirming.Commit(); err != nil {
		t.Fatal(err)
	}
	pruning.Wait()
	if got := d.names(`select email from users`); got != "ann@example.com" {
		t.Errorf("left: %q", got)
	}
}

func TestOldMailsPausesChallengesAndNetworksAreDeleted(t *testing.T) {
	d := newDatabase(t)
	d.Exec(user, "ann", "1 year", "1 year")
	for name, age := range map[string]string{"young": "29 days", "old": "31 days"} {
		d.Exec(`insert into mails (id, user_id, kind, expires_at, token_hash) select gen_random_uuid(), id, 'confirm', now() - $2::interval, sha256($1::bytea) from users`, name, age)
		d.Exec(`insert into known_networks (user_id, network, signed_in, used_at) select id, sha256($1::bytea), true, now() - $2::interval from users`, name, age)
	}
	for name, age := range map[string]string{"young": "59 minutes", "old": "61 minutes"} {
		d.Exec(`insert into mail_pauses (address_hash, mailed_at) values (sha256($1::bytea), now() - $2::interval)`, name, age)
		d.Exec(`insert into login_challenges (token_hash, user_id, password_generation, expires_at) select sha256($1::bytea), id, id, now() - $2::interval from users`, name, age)
	}
	for name, age := range map[string]string{"young": "23 hours", "old": "25 hours"} {
		d.Exec(`insert into mail_quotas (address_hash, mailed, changed_at) values (sha256($1::bytea), '{}', now() - $2::interval)`, name, age)
	}
	d.apply(t)
	var left string
	d.Get(&left, `select (select count(*) from mail_quotas where address_hash = sha256('young')) || '/' || (select count(*) from mail_quotas)
		|| ' ' || (select count(*) from mails where token_hash = sha256('young')) || '/' || (select count(*) from mails)
		|| ' ' || (select count(*) from mail_pauses where address_hash = sha256('young')) || '/' || (select count(*) from mail_pauses)
		|| ' ' || (select count(*) from login_challenges where token_hash = sha256('young')) || '/' || (select count(*) from login_challenges)
		|| ' ' || (select count(*) from known_networks where network = sha256('young')) || '/' || (select count(*) from known_networks)`)
	if left != "1/1 1/1 1/1 1/1 1/1" {
		t.Errorf("left (young rows / rows): %s", left)
	}
}

// Pruning must not renew a budget: a budget is deleted only if it is the same as no budget, or long after the last attempt.
func TestPruningRenewsNoGuessBudget(t *testing.T) {
	d := newDatabase(t)
	for _, b := range []struct {
		name                                             string
		charged, window, forgiven, locks                 int
		lockedFor /* negative: over */, deactivated, age any
	}{
		{"a-no-failures-23h", 5, 5, 5, 0, nil, nil, "23 hours"},
		{"no-failures-25h", 5, 5, 5, 0, nil, nil, "25 hours"},
		{"b-one-failure-25h", 6, 5, 5, 0, nil, nil, "25 hours"},
		{"c-lock-over-25h", 15, 15, 5, 1, "-24 hours", nil, "25 hours"},
		{"d-lock-over-364d", 15, 15, 5, 3, "-363 days", nil, "364 days"},
		{"e-still-locked-366d", 15, 15, 5, 3, "1 hour", nil, "366 days"},
		{"f-used-up-366d", 100, 100, 0, 9, nil, 100, "366 days"},
		{"failures-366d", 15, 15, 5, 3, "-365 days -1 hour", nil, "366 days"},
		{"one-failure-366d", 1, 0, 0, 0, nil, nil, "366 days"},
	} {
		for _, kind := range []string{"password", "second_factor"} {
			d.Exec(`insert into guess_budgets (subject, kind, charged, window_start, forgiven, locks, locked_until, locked_by, deactivated_by, charged_at)
				values (sha256(($1 || $2)::bytea), $2, $3, $4, $5, $6, now() + $7::interval, 0, $8, now() - $9::interval)`,
				b.name, kind, b.charged, b.window, b.forgiven, b.locks, b.lockedFor, b.deactivated, b.age)
		}
	}
	d.apply(t)
	var secondFactors int
	d.Get(&secondFactors, `select count(*) from guess_budgets where kind = 'second_factor'`)
	if secondFactors != 8 {
		t.Errorf("%d budgets of second factors are left, want all 8 with failures or younger than a day", secondFactors)
	}
	d.Exec(`delete from guess_budgets where kind = 'second_factor'`)
	const kept = `select n from unnest(array['a-no-failures-23h', 'no-failures-25h', 'b-one-failure-25h', 'c-lock-over-25h', 'd-lock-over-364d',
		'e-still-locked-366d', 'f-used-up-366d', 'failures-366d', 'one-failure-366d']) n
		where exists (select from guess_budgets where subject = sha256((n || 'password')::bytea)) order by n`
	if got := d.names(kept); got != "a-no-failures-23h b-one-failure-25h c-lock-over-25h d-lock-over-364d e-still-locked-366d f-used-up-366d" {
		t.Errorf("kept: %s", got)
	}
}

// A budget that is charged while the rule waits for its row is kept.
func TestBudgetChargedMeanwhileIsKept(t *testing.T) {
	d := newDatabase(t)
	// With many rows, Postgres finds the row to delete by its place, and does not compare the place again after a change.
	d.Exec(`insert into guess_budgets (subject, kind) select sha256(n::text::bytea), 'password' from generate_series(1, 10000) n`)
	d.Exec(`insert into guess_budgets (subject, kind, charged_at) values (sha256('a'), 'password', now() - interval '2 days')`)
	d.Exec(`analyze guess_budgets`)
	charging := d.Begin()
	charging.MustExec(`update guess_budgets set charged = charged + 1, charged_at = now() where subject = sha256('a')`)
	var pruning sync.WaitGroup
	pruning.Go(func() { d.apply(t) })
	d.AwaitLocks(1)
	if err := charging.Commit(); err != nil {
		t.Fatal(err)
	}
	pruning.Wait()
	var charged int
	if d.Get(&charged, `select coalesce(max(charged), 0) from guess_budgets`); charged != 1 {
		t.Errorf("%d attempts are charged, want 1", charged)
	}
}

// Two replicas apply a rule at the same time: one of them works, and all old rows are deleted once.
func TestTwoReplicasPrune(t *testing.T) {
	d := newDatabase(t)
	d.Exec(`insert into mail_pauses (address_hash, mailed_at) select sha256(n::text::bytea), now() - n * interval '1 minute' from generate_series(1, 5000) n`)
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for _, rule := range auth.Rules() {
				for done := false; !done; {
					var err error
					if done, err = rule.Apply(t.Context(), d.auth); err != nil {
						t.Errorf("%s: %v", rule.Name, err)
						return
					}
				}
			}
		})
	}
	running.Wait()
	var left int
	if d.Get(&left, `select count(*) from mail_pauses`); left < 58 || left > 60 {
		t.Errorf("%d rows are left, want the 59 that are less than an hour old", left)
	}
}

func TestPinAdminPrunesAttemptsRevocationsAndTheAuditTrail(t *testing.T) {
	t.Parallel()
	d := storetest.Postgres(t)
	people, admin := storetest.NewPeople(t, d), d.Open(t, schema.RolePinAdmin)
	for _, age := range []string{"500 days", "300 days", "1 day"} {
		people.Exec(`insert into attempts (holder_id, number, instance_id, request_id, charged_at) values (gen_random_uuid(), 1, gen_random_uuid(), '', now() - $1::interval)`, age)
		people.Exec(`insert into audit (actor_kind, action, request_id, address, at) values ('operator', 'test.row', '', '', now() - $1::interval)`, age)
	}
	people.Exec(`insert into revoked_sessions (session_hash, instance_id, expires_at)
		select sha256(n::text::bytea), gen_random_uuid(), now() + n * interval '1 hour' from generate_series(-3, 1) n`)
	people.Exec(`insert into receipt_keys (id, public_key, private_sealed, created_at, retired_at)
		select gen_random_uuid(), sha256(''), '', now() - interval '1 year', at from unnest(array[null, now() + interval '1 minute', now() - interval '29 days', now() - interval '31 days']) at`)
	for _, rule := range (PinAdminConfig{Attempts: 8760 * time.Hour}).Rules() {
		if done, err := rule.Apply(t.Context(), admin); err != nil || !done {
			t.Errorf("%s: %t, %v", rule.Name, done, err)
		}
	}
	var left string
	people.Get(&left, `select (select count(*) from attempts) || ' ' || (select count(*) from audit)`)
	var revocations int
	if people.Get(&revocations, `select count(*) from revoked_sessions`); revocations != 2 {
		t.Errorf("%d revocations are left, want the one of now and the one of the next hour", revocations)
	}
	var keys int
	if people.Get(&keys, `select count(*) from receipt_keys`); keys != 3 {
		t.Errorf("%d receipt keys are left, want those that were not retired more than 30 days ago", keys)
	}
	if left != "2 3" {
		t.Errorf("left: %s, want 2 attempts of the last year, and the whole audit trail", left)
	}
	for _, rule := range pinAdmin.Rules() {
		if done, err := rule.Apply(t.Context(), admin); err != nil || !done {
			t.Errorf("%s: %t, %v", rule.Name, done, err)
		}
	}
	if people.Get(&left, `select (select count(*) from attempts) || ' ' || (select count(*) from audit)`); left != "1 2" {
		t.Errorf("left: %s, want 1 2", left)
	}
}

func TestPinAdminPrunesApprovalsEnrolmentsAndKnownBrowsers(t *testing.T) {
	t.Parallel()
	d := storetest.Postgres(t)
	people, admin := storetest.NewPeople(t, d), d.Open(t, schema.RolePinAdmin)
	customer, instance := people.Customer(), people.Instance()
	people.Exec(`insert into pin_holders (holder_id, customer_id) values ($1, $1)`, customer)
	people.Exec(`insert into approvals (id, instance_id, customer_id, proxy_key_id, kind, skill, arguments, action_hash, nonce, key_id, link_hash, created_at, expires_at,
		        status, holder_id, session_generation, decided_at, use_hash, used_at)
		select gen_random_uuid(), $1, $2, gen_random_uuid(), 'action', status, '{}', sha256((status || days)::bytea), sha256(''), 'one', sha256((status || days)::bytea),
		       now() - days * interval '1 day', now(), status, $2, gen_random_uuid(), now(),
		       case when status = 'used' then sha256('') end, case when status = 'used' then now() end
		  from unnest(array['pending', 'approved', 'denied', 'expired', 'cancelled', 'used']) status, unnest(array[89, 91]) days`, instance, customer)
	for age, want := range map[string]int{"29 days": 1, "31 days": 0} {
		people.Exec(`insert into pin_enrolments (customer_id, token_hash, created_at, expires_at) values ($1, sha256(''), now() - interval '1 year', now() - $2::interval)`, customer, age)
		people.Exec(`insert into known_browsers (browser_hash, holder_id, generation, used_at) values (sha256(''), $1, gen_random_uuid(), now() - 12 * $2::interval)`, customer, age)
		for _, rule := range pinAdmin.Rules() {
			if done, err := rule.Apply(t.Context(), admin); err != nil || !done {
				t.Errorf("%s: %t, %v", rule.Name, done, err)
			}
		}
		var enrolments, browsers int
		people.Get(&enrolments, `select count(*) from pin_enrolments`)
		people.Get(&browsers, `select count(*) from known_browsers`)
		if enrolments != want || browsers != want {
			t.Errorf("after %s: %d enrolments and %d known browsers are left, want %d", age, enrolments, browsers, want)
		}
		people.Exec(`delete from pin_enrolments`)
		people.Exec(`delete from known_browsers`)
	}
	var left string
	people.Get(&left, `select string_agg(skill || extract(day from now() - created_at), ' ' order by skill, created_at) from approvals`)
	if want := "approved91 approved89 cancelled89 denied89 expired89 pending91 pending89 used89"; left != want {
		t.Errorf("the approvals that are left: %s, want %s", left, want)
	}
}

func TestLatePruningIsReported(t *testing.T) {
	t.Parallel()
	d := storetest.Postgres(t)
	people, owner := storetest.NewPeople(t, d), d.Open(t, "")
	late := func() string {
		t.Helper()
		var all []string
		for _, rule := range append(auth.Rules(), pinAdmin.Rules()...) {
			problems, err := rule.Late(t.Context(), owner)
			if err != nil {
				t.Fatalf("%s: %v", rule.Name, err)
			}
			all = append(all, problems...)
		}
		return strings.Join(all, "; ")
	}
	if got := late(); got != "" {
		t.Errorf("a new database: %s", got)
	}
	for _, rule := range []struct{ cause, cure, want string }{
		{`insert into mail_pauses (address_hash, mailed_at) values (sha256('x'), now() - interval '24 hours')`, `delete from mail_pauses`, ""},
		{`insert into mail_pauses (address_hash, mailed_at) values (sha256('x'), now() - interval '26 hours')`, `delete from mail_pauses`,
			"mail_pauses has rows that should be deleted since 24h0m0s (rule mail_pauses)"},
		{`insert into audit (actor_kind, action, request_id, address, at) values ('operator', 'test.row', '', '', now() - interval '430 days')`,
			`select prune_audit(null)`, "audit_default has rows, because there was no partition for their month"},
		{`select 1`, `select prune_audit('9504 hours')`, "audit has a partition that is older than its period"},
		{`do $$ begin execute 'drop table attempts_' || to_char(now() at time zone 'UTC' + interval '1 month', 'YYYY_MM'); end $$`, `select prune_attempts('2160 hours')`,
			"attempts has no partition for the next month"},
	} {
		people.Exec(rule.cause)
		if got := late(); got != rule.want {
			t.Errorf("%s: %q, want %q", rule.cause, got, rule.want)
		}
		people.Exec(rule.cure)
	}
	if got := late(); got != "" {
		t.Errorf("after the repairs: %s", got)
	}
}

func TestFailedRuleIsLoggedAndMeasured(t *testing.T) {
	d := newDatabase(t)
	d.Exec(`insert into mail_pauses (address_hash, mailed_at) values (sha256('x'), now() - interval '2 hours')`)
	d.Exec(`alter table mails rename to hidden`)
	ctx, cancel := context.WithCancel(t.Context())
	registry := prometheus.NewRegistry()
	log := &lockedBuffer{}
	p := New(d.auth, registry, slog.New(slog.NewJSONHandler(log, nil)), auth.Rules())
	for _, r := range p.rules {
		r.completed.Store(time.Now().Add(-time.Hour).UnixNano())
	}
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	for left := 1; left > 0; {
		d.Get(&left, `select count(*) from mail_pauses`)
	}
	for p.rules[len(p.rules)-1].completed.Load() < time.Now().Add(-time.Minute).UnixNano() {
		runtime.Gosched()
	}
	cancel()
	running.Wait()
	if !strings.Contains(log.String(), `"rule":"mails"`) || strings.Contains(log.String(), `"rule":"mail_pauses"`) {
		t.Errorf("the log: %s", log.String())
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		rule, overdue := m.GetLabel()[0].GetValue(), m.GetGauge().GetValue() > 1800
		if failed := rule == "mails" || rule == "users_unconfirmed"; failed != overdue {
			t.Errorf("%s is overdue: %t", rule, overdue)
		}
	}
}

// lockedBuffer is a buffer for two goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
