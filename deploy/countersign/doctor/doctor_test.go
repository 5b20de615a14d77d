package doctor

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/web"
)

const (
	ringOne = "20260101-one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	ringTwo = "20200101-two:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
)

// deployment has its own servers. Roles belong to a server, so a test that changes them on a shared server would disturb others.
type deployment struct {
	Config
	db    *sqlx.DB
	redis *redis.Options
}

// inRedis sends a command as the administrator. It uses a new connection, because the doctor reports a long one.
func (d *deployment) inRedis(t *testing.T, command string) {
	t.Helper()
	client := redis.NewClient(d.redis)
	defer client.Close()
	args := strings.Split(command, " ")
	if args[0] == "config" {
		args = strings.SplitN(command, " ", 4) // the value may contain spaces or be empty
	}
	sent := make([]any, len(args))
	for i, arg := range args {
		sent[i] = arg
	}
	if err := client.Do(t.Context(), sent...).Err(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	server, err := localstores.StartPostgres(t.Context(), localstores.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	d := &deployment{Config: Config{
		DatabaseURL: server.URL, RedisURL: storetest.OwnRedis(t).URL, Auth: "a", PinAdmin: "b", PinInternal: "c",
		AuthRedis: "d", PinAdminRedis: "e", PinInternalRedis: "f", PinKeys: ringOne, AuthKeys: ringTwo,
	}}
	if err := service.Load(&d.AuthRetention); err != nil {
		t.Fatal(err)
	}
	if err := service.Load(&d.PinAdminRetention); err != nil {
		t.Fatal(err)
	}
	if d.db, err = database.Open(t.Context(), server.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	if err := database.Prepare(t.Context(), d.db, d.passwords(), 0); err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(d.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	d.redis = options
	administrator := redis.NewClient(options)
	defer administrator.Close()
	for role, password := range map[string]string{schema.RoleAuth: d.AuthRedis, schema.RolePinAdmin: d.PinAdminRedis, schema.RolePinInternal: d.PinInternalRedis} {
		if err := redisuser.Create(t.Context(), administrator, role, password, redisuser.Rules(role)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// problems returns the findings with the verdicts wrong and advice, except fsync=off, which every test server has.
func (d *deployment) problems(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, f := range Examine(t.Context(), d.Config).findings {
		if f.verdict != ok && f.repair == "" {
			t.Errorf("%q does not say how to repair it", f.what)
		}
		if (f.verdict == wrong || f.verdict == advice) && !strings.Contains(f.what, "fsync=off") {
			all = append(all, string(f.verdict)+" "+f.what)
		}
	}
	return all
}

func (d *deployment) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := d.db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestDoctorFindsEachProblem(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	if got := d.problems(t); !slices.Equal(got, []string{"advice the current key of AUTH_KEYS is from 2020-01-01"}) {
		t.Fatalf("nothing is wrong, but the doctor reports %q", got)
	}
	d.AuthKeys = strings.Replace(ringTwo, "2020", "2026", 1)
	const holder = `with c as (insert into customers (email) values ('a@example.com') returning id)
		insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
		select id, id, '$argon2id$v=19$m=8,t=1,p=1,keyid=lost$c2FsdA$aGFzaA', id, now() from c`
	for _, fault := range []struct {
		name, cause, cure, want string
	}{
		{"an extra grant", `grant select on users to countersign_pin_internal`, `revoke select on users from countersign_pin_internal`,
			"WRONG countersign_pin_internal also has: select on users"},
		{"an extra column", `grant select (verifier) on pin_holders to countersign_auth`, `revoke select (verifier) on pin_holders from countersign_auth`,
			"WRONG countersign_auth also has: select (verifier) on pin_holders"},
		{"a missing grant", `revoke insert on attempts from countersign_pin_internal`, `grant insert on attempts to countersign_pin_internal`,
			"WRONG countersign_pin_internal lacks: insert on attempts"},
		{"a grant to PUBLIC", `grant select on customers to public`, `revoke select on customers from public`,
			"WRONG PUBLIC has privileges: select on customers"},
		{"a superuser", `alter role countersign_auth superuser`, `alter role countersign_auth nosuperuser`,
			"WRONG countersign_auth is a superuser, may create tables"},
		{"a membership", `grant pg_read_all_data to countersign_auth`, `revoke pg_read_all_data from countersign_auth`,
			"WRONG countersign_auth is a member of pg_read_all_data"},
		{"an owner", `create table own (); alter table own owner to countersign_pin_admin`, `drop table own`,
			"WRONG countersign_pin_admin owns own"},
		{"a changed password", `alter role countersign_pin_admin password 'another'`, `alter role countersign_pin_admin password 'b'`,
			"WRONG countersign_pin_admin cannot log in: "},
		{"a changed time limit", `alter role countersign_pin_internal set lock_timeout = '6s'`, `alter role countersign_pin_internal set lock_timeout = '2s'`,
			"WRONG time limits of countersign_pin_internal: lock_timeout is 6s, not 2s"},
		{"a time limit in one database", `alter role countersign_auth in database postgres set statement_timeout = 0`, `alter role countersign_auth in database postgres reset statement_timeout`,
			"WRONG time limits of countersign_auth: statement_timeout is 0s, not 4s"},
		{"no limit of connections", `alter role countersign_auth connection limit -1`, `alter role countersign_auth connection limit 95`,
			"WRONG 1 roles have no limit of connections"},
		{"too many connections", `alter role countersign_auth connection limit 200`, `alter role countersign_auth connection limit 95`,
			"advice the roles together may open 390 connections, and the server allows 297"},
		{"a pending migration", `update schema_migrations set version_id = -version_id where version_id = (select max(version_id) from schema_migrations)`,
			`update schema_migrations set version_id = -version_id where version_id < 0`,
			"WRONG a migration is pending"},
		{"a database from before the first release", `create table goose_db_version ()`, `drop table goose_db_version`,
			"WRONG this database was made by a version of Countersign from before the first release"},
		{"a lost key", holder, `delete from customers`,
			"WRONG 1 PINs are stored under the key lost, which is not in PIN_KEYS"},
		{"an overdue mail", `with u as (insert into users (email, password_hash) values ('ann@example.test', 'x') returning id)
			insert into mails (id, user_id, kind, created_at, expires_at) select gen_random_uuid(), id, 'notice', now() - interval '6 minutes', now() from u`,
			`delete from users`,
			"advice 1 mails were not sent within 5 minutes"},
		{"an instance that trusts its agents", `with i as (insert into instances (name) values ('Bank') returning id) insert into skills (instance_id, skill, mode) select id, 'pay', 'approval' from i`,
			`update instances set pin_entry = 'page'`,
			`advice 1 instances with approvals take PINs from their agents (pin_entry any): ["Bank"]`},
		{"an extra privilege on a function", `grant execute on function prune_audit(interval) to countersign_auth`, `revoke execute on function prune_audit(interval) from countersign_auth`,
			"WRONG countersign_auth also has: execute on prune_audit"},
		{"late pruning", `insert into mail_pauses (address_hash, mailed_at) values (sha256('x'), now() - interval '2 days')`, `delete from mail_pauses`,
			"WRONG mail_pauses has rows that should be deleted"},
		{"a row without a partition", `insert into audit (at, actor_kind, action, request_id, address) values (now() - interval '60 days', 'operator', 'test.row', '', '')`,
			`select prune_audit(null)`, "WRONG audit_default has rows"},
	} {
		d.exec(t, fault.cause)
		if got := d.problems(t); len(got) == 0 || !strings.HasPrefix(got[0], fault.want) {
			t.Errorf("%s: %q, want %s", fault.name, got, fault.want)
		}
		d.exec(t, fault.cure)
	}
	for _, fault := range []struct {
		name, setting, cause, cure, want string
	}{
		{"eviction", "config set maxmemory-policy ", "allkeys-lru", "noeviction", "WRONG Redis evicts"},
		{"snapshots", "config set save ", "60 1", "", "WRONG Redis restores"},
		{"a user with all rights", "acl setuser countersign_auth ", "~* +@all", "reset #" + sha(d.AuthRedis) + " " + strings.Join(redisuser.Rules(schema.RoleAuth), " "),
			"WRONG the Redis user countersign_auth may also do: config get save, client list, acl whoami, get pin:{doctor}:session:doctor"},
		{"a user who may read a session", "acl setuser countersign_auth ", "~pin:* +get", "reset #" + sha(d.AuthRedis) + " " + strings.Join(redisuser.Rules(schema.RoleAuth), " "),
			"WRONG the Redis user countersign_auth may also do: get pin:{doctor}:session:doctor, get pin:{doctor}:lock"},
		{"another password", "acl setuser countersign_pin_admin ", "resetpass >x", "resetpass >" + d.PinAdminRedis, "WRONG the Redis user countersign_pin_admin cannot log in"},
		{"no password", "config set requirepass ", "", d.redis.Password, "WRONG Redis needs no password"},
	} {
		d.inRedis(t, fault.setting+fault.cause)
		with := d.RedisURL
		if fault.name == "no password" {
			u, _ := url.Parse(with) // newDeployment has parsed it
			u.User = nil
			d.RedisURL = u.String()
		}
		if got := d.problems(t); len(got) != 1 || !strings.HasPrefix(got[0], fault.want) {
			t.Errorf("%s: %q, want %s", fault.name, got, fault.want)
		}
		d.inRedis(t, fault.setting+fault.cure)
		d.RedisURL = with
	}
	for name, fault := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no Postgres":           {func(c *Config) { c.DatabaseURL = "postgres://u:secret@127.0.0.1:1/x" }, "WRONG Postgres cannot be used: "},
		"no Redis":              {func(c *Config) { c.RedisURL = "redis://:secret@127.0.0.1:1/0" }, "WRONG Redis cannot be used: "},
		"a damaged ring":        {func(c *Config) { c.PinKeys = "one:secret" }, "WRONG PIN_KEYS: entry 1: want 32 bytes"},
		"one key in both rings": {func(c *Config) { c.PinKeys = c.AuthKeys }, "WRONG PIN_KEYS and AUTH_KEYS contain the same key"},
		"an unused key":         {func(c *Config) { c.PinKeys += ",next:QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=" }, "advice nothing is stored under the key next of PIN_KEYS"},
		"an invalid address":    {func(c *Config) { c.PinInternalURL = "pin-internal:8083" }, "WRONG PIN_INTERNAL_URL"},
	} {
		healthy := d.Config
		fault.change(&d.Config)
		got := d.problems(t)
		if len(got) == 0 || !strings.HasPrefix(got[0], fault.want) || strings.Contains(strings.Join(got, ""), "secret") {
			t.Errorf("%s: %q, want %s", name, got, fault.want)
		}
		d.Config = healthy
	}
	if got := d.problems(t); len(got) != 0 {
		t.Errorf("everything is repaired, but the doctor reports %q", got)
	}
}

func sha(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

func TestAdministratorsOfRedis(t *testing.T) {
	t.Parallel()
	const list = `id=1 addr=10.0.0.1:1 name= age=3600 idle=0 flags=N db=0 user=countersign_auth
id=2 addr=10.0.0.2:1 name= age=61 idle=0 flags=N db=0 user=default
id=3 addr=10.0.0.3:1 name= age=59 idle=0 flags=N db=0 user=default
id=4 addr=10.0.0.4:1 name= age=3600 idle=0 flags=S db=0 user=default
id=5 addr=10.0.0.5:1 name= age=3600 idle=0 flags=N db=0 user=ops
id=6 addr=10.0.0.6:1 name=sentinel-38d0a1b2-cmd age=3600 idle=0 flags=N db=0 user=default
id=7 addr=10.0.0.6:2 name=sentinel-38d0a1b2-pubsub age=3600 idle=0 flags=P db=0 user=default
`
	if got := administrators(list); got != 2 {
		t.Errorf("%d connections, want 2: those of default for 61 s, and of ops", got)
	}
}

func TestDoctorOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	server, err := localstores.StartPostgres(t.Context(), localstores.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	d := deployment{Config: Config{DatabaseURL: server.URL}}
	got := strings.Join(d.problems(t), "\n")
	for _, want := range []string{"the database is empty", "the role countersign_auth does not exist"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among %s", want, got)
		}
	}
}

func TestDoctorFindsAnExposedPinInternal(t *testing.T) {
	t.Parallel()
	answer := func(status int, path, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, path) {
				w.WriteHeader(status)
			} else {
				w.WriteHeader(http.StatusNotFound)
			}
			w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	for name, tt := range map[string]struct {
		url  string
		want verdict
	}{
		"pin-internal itself":                    {answer(200, "/openapi.yaml", "paths:\n  /internal/v1/x:"), wrong},
		"behind a proxy that hides the document": {answer(401, "/internal/", ""), wrong},
		"another program":                        {answer(200, "/", "hello"), advice},
		"no program":                             {closed.URL, ok},
	} {
		var r Report
		r.exposure(t.Context(), tt.url)
		if got := r.findings[0]; got.verdict != tt.want {
			t.Errorf("%s: %s %s", name, got.verdict, got.what)
		}
	}
}

func TestDoctorFindsForgottenTrustedProxies(t *testing.T) {
	t.Parallel()
	if forwardedIgnored != web.ForwardedIgnored {
		t.Error("the services have another name for the metric")
	}
	metrics := func(text string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/metrics" {
				w.Write([]byte("# TYPE http_forwarded_ignored_total counter\n" + text))
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	for name, tt := range map[string]struct {
		url  string
		want verdict
	}{
		"requests of a proxy": {metrics("http_forwarded_ignored_total 1.2345678e+06\n"), advice},
		"no such request":     {metrics("http_forwarded_ignored_total 0\n") + "/", ok},
		"another program":     {metrics("http_forwarded_ignored_total_of_another 3\n"), wrong},
		"no program":          {closed.URL, advice},
	} {
		var r Report
		r.proxies(t.Context(), []string{tt.url, " " + tt.url})
		if len(r.findings) != 2 || r.findings[0].verdict != tt.want || r.findings[1].verdict != tt.want {
			t.Errorf("%s: %+v", name, r.findings)
		}
	}
}

func TestDoctorComparesClocks(t *testing.T) {
	t.Parallel()
	for difference, want := range map[time.Duration]verdict{time.Second: ok, -time.Second: ok, 3 * time.Second: wrong, -time.Hour: wrong} {
		var r Report
		r.clockDifference(difference)
		if got := r.findings[0].verdict; got != want {
			t.Errorf("%s: %s", difference, got)
		}
	}
}
