package main

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

const (
	ringOne = "20260101-one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	ringTwo = "20200101-two:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
)

// patient is a deployment with servers of its own: roles belong to a server, and a test that breaks them would disturb
// the others.
type patient struct {
	doctorConfig
	db    *sql.DB
	redis *redis.Client
}

func newPatient(t *testing.T) *patient {
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
	p := &patient{doctorConfig: doctorConfig{
		DatabaseURL: server.URL, RedisURL: storetest.OwnRedis(t).URL, Auth: "a", PinAdmin: "b", PinInternal: "c", PinKeys: ringOne, AuthKeys: ringTwo,
	}}
	if p.db, err = openDatabase(t.Context(), server.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.db.Close() })
	passwords := map[string]string{schema.RoleAuth: p.Auth, schema.RolePinAdmin: p.PinAdmin, schema.RolePinInternal: p.PinInternal}
	if err := prepareDatabase(t.Context(), p.db, passwords); err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(p.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	p.redis = redis.NewClient(options)
	t.Cleanup(func() { p.redis.Close() })
	return p
}

// complaints are what the doctor finds wrong or advises, but for the one that is true of every throw-away server.
func (p *patient) complaints(t *testing.T) []string {
	t.Helper()
	var r report
	r.examine(t.Context(), p.doctorConfig)
	var all []string
	for _, f := range r.findings {
		if f.verdict != fine && f.mend == "" {
			t.Errorf("%q says nothing of how to mend it", f.what)
		}
		if (f.verdict == wrong || f.verdict == advice) && !strings.Contains(f.what, "fsync=off") {
			all = append(all, string(f.verdict)+" "+f.what)
		}
	}
	return all
}

func (p *patient) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := p.db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	if got := p.complaints(t); !slices.Equal(got, []string{"advice the current key of AUTH_KEYS is from 2020-01-01"}) {
		t.Fatalf("nothing is wrong yet, and the doctor says %q", got)
	}
	p.AuthKeys = strings.Replace(ringTwo, "2020", "2026", 1)
	const holder = `with c as (insert into customers (email) values ('a@example.com') returning id)
		insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
		select id, id, '$argon2id$v=19$m=8,t=1,p=1,keyid=lost$c2FsdA$aGFzaA', id, now() from c`
	for _, illness := range []struct {
		name, cause, cure, want string
	}{
		{"a grant too many", `grant select on users to countersign_pin_internal`, `revoke select on users from countersign_pin_internal`,
			"WRONG countersign_pin_internal may also do: select on users"},
		{"a column too many", `grant select (verifier) on pin_holders to countersign_auth`, `revoke select (verifier) on pin_holders from countersign_auth`,
			"WRONG countersign_auth may also do: select (verifier) on pin_holders"},
		{"a grant too few", `revoke insert on attempts from countersign_pin_internal`, `grant insert on attempts to countersign_pin_internal`,
			"WRONG countersign_pin_internal lacks: insert on attempts"},
		{"a grant to everybody", `grant select on customers to public`, `revoke select on customers from public`,
			"WRONG everybody may do: select on customers"},
		{"a superuser", `alter role countersign_auth superuser`, `alter role countersign_auth nosuperuser`,
			"WRONG countersign_auth is a superuser, may create tables"},
		{"a membership", `grant pg_read_all_data to countersign_auth`, `revoke pg_read_all_data from countersign_auth`,
			"WRONG countersign_auth is a member of pg_read_all_data"},
		{"an owner", `create table own (); alter table own owner to countersign_pin_admin`, `drop table own`,
			"WRONG countersign_pin_admin owns own"},
		{"another password", `alter role countersign_pin_admin password 'another'`, `alter role countersign_pin_admin password 'b'`,
			"WRONG countersign_pin_admin cannot log in: "},
		{"a migration to come", `update schema_migrations set version_id = -version_id where version_id = (select max(version_id) from schema_migrations)`,
			`update schema_migrations set version_id = -version_id where version_id < 0`,
			"WRONG a migration is pending"},
		{"a database from before the first release", `create table goose_db_version ()`, `drop table goose_db_version`,
			"WRONG this database was made by a version of Countersign from before the first release"},
		{"a lost key", holder, `delete from customers`,
			"WRONG 1 PINs lie under the key lost, which is not on PIN_KEYS"},
		{"a mail that waits", `with u as (insert into users (email, password_hash) values ('ann@example.test', 'x') returning id)
			insert into mails (id, user_id, kind, created_at, expires_at) select gen_random_uuid(), id, 'notice', now() - interval '6 minutes', now() from u`,
			`delete from users`,
			"advice 1 mails have waited to be sent"},
	} {
		p.exec(t, illness.cause)
		if got := p.complaints(t); len(got) == 0 || !strings.HasPrefix(got[0], illness.want) {
			t.Errorf("%s: %q, want %s", illness.name, got, illness.want)
		}
		p.exec(t, illness.cure)
	}
	for _, illness := range []struct {
		name, setting, cause, cure, want string
	}{
		{"eviction", "maxmemory-policy", "allkeys-lru", "noeviction", "WRONG Redis evicts"},
		{"snapshots", "save", "60 1", "", "WRONG Redis comes back"},
		{"no password", "requirepass", "", p.redis.Options().Password, "WRONG Redis asks for no password"},
	} {
		p.redis.ConfigSet(t.Context(), illness.setting, illness.cause)
		with := p.RedisURL
		if illness.setting == "requirepass" {
			u, _ := url.Parse(with) // newPatient has parsed it
			u.User = nil
			p.RedisURL = u.String()
		}
		if got := p.complaints(t); len(got) != 1 || !strings.HasPrefix(got[0], illness.want) {
			t.Errorf("%s: %q, want %s", illness.name, got, illness.want)
		}
		p.redis.ConfigSet(t.Context(), illness.setting, illness.cure)
		p.RedisURL = with
	}
	for name, illness := range map[string]struct {
		change func(*doctorConfig)
		want   string
	}{
		"no Postgres there":  {func(c *doctorConfig) { c.DatabaseURL = "postgres://u:secret@127.0.0.1:1/x" }, "WRONG Postgres cannot be used: "},
		"no Redis there":     {func(c *doctorConfig) { c.RedisURL = "redis://:secret@127.0.0.1:1/0" }, "WRONG Redis cannot be used: "},
		"a damaged ring":     {func(c *doctorConfig) { c.PinKeys = "one:secret" }, "WRONG PIN_KEYS: entry 1: want 32 bytes"},
		"one key for both":   {func(c *doctorConfig) { c.PinKeys = c.AuthKeys }, "WRONG PIN_KEYS and AUTH_KEYS share a key"},
		"an unused key":      {func(c *doctorConfig) { c.PinKeys += ",next:QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=" }, "advice nothing lies under the key next of PIN_KEYS"},
		"no address outside": {func(c *doctorConfig) { c.PinInternalURL = "pin-internal:8083" }, "WRONG PIN_INTERNAL_URL"},
	} {
		healthy := p.doctorConfig
		illness.change(&p.doctorConfig)
		got := p.complaints(t)
		if len(got) == 0 || !strings.HasPrefix(got[0], illness.want) || strings.Contains(strings.Join(got, ""), "secret") {
			t.Errorf("%s: %q, want %s", name, got, illness.want)
		}
		p.doctorConfig = healthy
	}
	if got := p.complaints(t); len(got) != 0 {
		t.Errorf("everything is mended, and the doctor says %q", got)
	}
}

func TestTheDoctorOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	server, err := localstores.StartPostgres(t.Context(), localstores.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	p := patient{doctorConfig: doctorConfig{DatabaseURL: server.URL}}
	got := strings.Join(p.complaints(t), "\n")
	for _, want := range []string{"the database is empty", "the role countersign_auth does not exist"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among %s", want, got)
		}
	}
}

func TestTheDoctorOutside(t *testing.T) {
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
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, tt := range map[string]struct {
		url  string
		want verdict
	}{
		"pin-internal itself":            {answer(200, "/openapi.yaml", "paths:\n  /internal/v1/x:"), wrong},
		"behind a proxy that hides some": {answer(401, "/internal/", ""), wrong},
		"something else":                 {answer(200, "/", "hello"), advice},
		"nobody":                         {gone.URL, fine},
	} {
		var r report
		r.outside(t.Context(), tt.url)
		if got := r.findings[0]; got.verdict != tt.want {
			t.Errorf("%s: %s %s", name, got.verdict, got.what)
		}
	}
}

func TestTheDoctorsClock(t *testing.T) {
	t.Parallel()
	for apart, want := range map[time.Duration]verdict{time.Second: fine, -time.Second: fine, 3 * time.Second: wrong, -time.Hour: wrong} {
		var r report
		r.clocks(apart)
		if got := r.findings[0].verdict; got != want {
			t.Errorf("%s: %s", apart, got)
		}
	}
}
