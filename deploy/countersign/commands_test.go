package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// sources returns the Go files of the command, without tests, by path.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = string(content)
		return err
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

// withDatabase sets DATABASE_URL to a database of the test's own.
func withDatabase(t *testing.T) *sqlx.DB {
	t.Helper()
	database := storetest.Postgres(t)
	t.Setenv("DATABASE_URL", database.URL)
	return database.Open(t, "")
}

func get[T any](t *testing.T, db *sqlx.DB, q string) (value T) {
	t.Helper()
	if err := db.Get(&value, q); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return value
}

func TestAdmin(t *testing.T) {
	db := withDatabase(t)
	r := runs(t, "", "admin", "--email", "Ada@Example.com").want(t, exitDone)
	if !strings.HasPrefix(r.out, "ada@example.com is an admin\npassword, printed only this once: ") {
		t.Errorf("got %q", r.out)
	}
	hash := get[string](t, db, `select password_hash from users where email = 'ada@example.com' and role = 'admin' and email_confirmed_at is not null`)
	r = runs(t, "", "admin", "--email", "ada@example.com").want(t, exitDone)
	if r.out != "ada@example.com is an admin\n" || get[string](t, db, `select password_hash from users`) != hash {
		t.Errorf("the admin got another password: %q", r.out)
	}
	r = runs(t, "a password of my own\n", "admin", "--email", "ada@example.com", "--password-stdin").want(t, exitDone)
	if r.out != "ada@example.com is an admin\n" || get[string](t, db, `select password_hash from users`) == hash {
		t.Errorf("the password was not changed: %q", r.out)
	}
	hash = get[string](t, db, `select password_hash from users`)
	for password, want := range map[string]string{"password1\n": "The password is", "short\n": "at least 8 characters", "\n": "no password on standard input", "": "no password on standard input"} {
		r := runs(t, password, "admin", "--email", "ada@example.com", "--password-stdin").want(t, exitFailed)
		if !strings.Contains(r.errOut, want) || password != "\n" && password != "" && strings.Contains(r.errOut, strings.TrimSpace(password)) {
			t.Errorf("%q: %q", password, r.errOut)
		}
	}
	if get[string](t, db, `select password_hash from users`) != hash {
		t.Error("a refused password was stored")
	}
	if actors := get[string](t, db, `select string_agg(distinct actor_kind, ' ') from audit`); actors != "operator" {
		t.Errorf("the actors in the audit trail are %q", actors)
	}
	if requests := get[int](t, db, `select count(distinct request_id) from audit`); requests != 3 {
		t.Errorf("three runs have %d request ids", requests)
	}
}

func TestAdminResetsASecondFactor(t *testing.T) {
	db := withDatabase(t)
	runs(t, "", "admin", "--email", "ada@example.com").want(t, exitDone)
	for email, want := range map[string]string{"bob@example.com": "No user has this email address", "ada@example.com": "There is no second factor"} {
		if r := runs(t, "", "admin", "--email", email, "--reset-mfa").want(t, exitFailed); !strings.Contains(r.errOut, want) {
			t.Errorf("%s: %q", email, r.errOut)
		}
	}
	db.MustExec(`insert into second_factors (user_id, secret_sealed, confirmed_at) select id, 'x', now() from users`)
	if r := runs(t, "", "admin", "--email", "ada@example.com", "--reset-mfa").want(t, exitDone); r.out != "ada@example.com signs in with the password alone\n" {
		t.Errorf("got %q", r.out)
	}
	if get[int](t, db, `select count(*) from second_factors`) != 0 {
		t.Error("the second factor is still there")
	}
}

func TestKeys(t *testing.T) {
	db := withDatabase(t)
	db.MustExec(`insert into signing_keys (id, public_key, private_sealed) select gen_random_uuid(), decode(repeat('00', 32), 'hex'), 'ring-1:x'`)
	for _, args := range [][]string{{"keys"}, {"keys", "rotate-signing"}} {
		if r := runs(t, "", args...).want(t, exitDone); !strings.Contains(r.out, "AUTH_KEYS  ring-1  signing keys  1") {
			t.Errorf("%q printed %q", args, r.out)
		}
	}
	key := strings.TrimSpace(runs(t, "", "keys", "new").want(t, exitDone).out)
	t.Setenv("AUTH_KEYS", key)
	if r := runs(t, "", "keys", "renew").want(t, exitFailed); !strings.Contains(r.errOut, "the key is not on the ring") || strings.Contains(r.errOut, key) {
		t.Errorf("got %q", r.errOut)
	}
	if r := runs(t, "", "keys", "revoke-signing").want(t, exitDone); strings.Contains(r.out, "signing keys") {
		t.Errorf("got %q", r.out)
	}
	runs(t, "", "keys", "renew").want(t, exitDone)
	t.Setenv("AUTH_KEYS", "")
	if r := runs(t, "", "keys", "renew").want(t, exitFailed); !strings.Contains(r.errOut, "neither AUTH_KEYS nor PIN_KEYS is set") {
		t.Errorf("got %q", r.errOut)
	}
}

func TestReceiptKeys(t *testing.T) {
	db := withDatabase(t)
	db.MustExec(`insert into receipt_keys (id, public_key, private_sealed) select gen_random_uuid(), decode(repeat('00', 32), 'hex'), 'ring-1:x'`)
	for _, args := range [][]string{{"keys"}, {"keys", "rotate-receipts"}} {
		if r := runs(t, "", args...).want(t, exitDone); !strings.Contains(r.out, "PIN_KEYS  ring-1  receipt keys  1") {
			t.Errorf("%q printed %q", args, r.out)
		}
	}
	if n := get[int](t, db, `select count(*) from receipt_keys where retired_at > now()`); n != 1 {
		t.Errorf("%d keys will be retired", n)
	}
	t.Setenv("PIN_KEYS", strings.TrimSpace(runs(t, "", "keys", "new").want(t, exitDone).out))
	if r := runs(t, "", "keys", "renew").want(t, exitFailed); !strings.Contains(r.errOut, "the key is not on the ring") {
		t.Errorf("got %q", r.errOut)
	}
	if r := runs(t, "", "keys", "revoke-receipts").want(t, exitDone); strings.Contains(r.out, "receipt keys") {
		t.Errorf("got %q", r.out)
	}
	runs(t, "", "keys", "renew").want(t, exitDone)
	if got := get[string](t, db, `select string_agg(actor_kind || ' ' || action || ' ' || details, ', ' order by id) from audit`); got !=
		`operator receipt_keys.rotated {"keys": 1}, operator receipt_keys.revoked {"keys": 1}` {
		t.Errorf("the audit rows are %s", got)
	}
}

func TestDemoPrintsATourOrRefuses(t *testing.T) {
	db := withDatabase(t)
	folder := t.TempDir()
	t.Setenv("PIN_ADMIN_URL", "http://pin-admin.test")
	first := runs(t, "", "demo", folder).want(t, exitDone)
	if !strings.Contains(first.out, "Countersign runs") || !strings.Contains(first.out, "http://pin-admin.test/v1/customers/") {
		t.Errorf("got %q", first.out)
	}
	if again := runs(t, "", "demo", folder).want(t, exitDone); again.out != first.out {
		t.Error("a second start made other data")
	}
	if n := get[int](t, db, `select count(*) from instances`); n != 1 {
		t.Errorf("%d agents", n)
	}

	db = withDatabase(t)
	db.MustExec(`insert into customers (email) values ('ada@example.com')`)
	other := t.TempDir()
	if r := runs(t, "", "demo", other).want(t, exitFailed); !strings.Contains(r.errOut, "another customer") || r.out != "" {
		t.Errorf("got %q and %q", r.out, r.errOut)
	}
	if entries, err := os.ReadDir(other); err != nil || len(entries) != 0 {
		t.Errorf("the refused demo wrote %v, %v", entries, err)
	}
	if n := get[int](t, db, `select (select count(*) from users) + (select count(*) from audit)`); n != 0 {
		t.Error("the refused demo changed the database")
	}
}

func TestMigrateAndDoctor(t *testing.T) {
	withDatabase(t)
	runs(t, "", "migrate").want(t, exitDone)
	// Test servers run without fsync, which the doctor reports as wrong.
	if r := runs(t, "", "doctor").want(t, exitFailed); !strings.Contains(r.out, "ok       no migration is pending") || !strings.Contains(r.out, "WRONG    a crash of Postgres may forget") {
		t.Errorf("got %s", r.out)
	}
	t.Setenv("DATABASE_URL", "")
	if r := runs(t, "", "doctor").want(t, exitDone); !strings.Contains(r.out, "0 wrong") {
		t.Errorf("got %s", r.out)
	}
}

func TestAskAcceptsFlagsOfCurl(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		json.NewEncoder(w).Encode([]string{r.Method, r.Header.Get("Authorization"), r.Header.Get("X-Pin-Session"), string(body)})
	}))
	t.Cleanup(server.Close)
	r := runs(t, "", "ask", "-sS", "-i", "-X", "DELETE", "-m", "5", "-H", "Authorization: Bearer key", "-H", "X-Pin-Session: cst", "-d", `{"a":1}`, server.URL).want(t, exitDone)
	if want := "HTTP/1.1 418 I'm a teapot\n[\"DELETE\",\"Bearer key\",\"cst\",\"{\\\"a\\\":1}\"]\n"; r.out != want {
		t.Errorf("got %q, want %q", r.out, want)
	}
	if r := runs(t, "", "ask", server.URL).want(t, exitDone); r.out != "[\"GET\",\"\",\"\",\"\"]\n" {
		t.Errorf("got %q", r.out)
	}
	server.Close()
	runs(t, "", "ask", server.URL).want(t, exitFailed)
}

func TestKYCSendPostsASignedWebhook(t *testing.T) {
	status := http.StatusOK
	var body, signature string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		body, signature = string(content), r.Header.Get("X-SHA2-Signature")
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	db := withDatabase(t)
	t.Chdir(t.TempDir())
	runs(t, "", "admin", "--email", "ada@example.com").want(t, exitDone)
	user := get[string](t, db, `select id from users`)
	args := []string{"kyc", "send", "--vendor", "onfido", "--user", "ada@example.com", "--status", "rejected", "--at", "2026-01-31T12:00:00Z", "--event", "evt_1", "--url", server.URL}
	if r := runs(t, "", args...).want(t, exitFailed); !strings.Contains(r.errOut, "KYC_ONFIDO_SECRET") || body != "" {
		t.Errorf("without a secret: %q", r.errOut)
	}
	t.Setenv("KYC_ONFIDO_SECRET", "onfido-token")
	runs(t, "", args...).want(t, exitDone)
	if !strings.Contains(body, user) || !strings.Contains(body, "2026-01-31T12:00:00.000Z") || !strings.Contains(body, "evt_1") || len(signature) != 64 {
		t.Errorf("sent %s with the signature %q", body, signature)
	}
	status = http.StatusUnauthorized
	if r := runs(t, "", args...).want(t, exitFailed); !strings.Contains(r.out, "401") {
		t.Errorf("got %q", r.out)
	}
}

func TestKYCResolve(t *testing.T) {
	db := withDatabase(t)
	const rejected = `insert into users (id, email, password_hash, email_confirmed_at) values ('00000000-0000-4000-8000-000000000001', 'ann@example.test', '', now());
		insert into kyc_events (provider, event_id, user_id, type, status, occurred_at) select p, p, id, 'x', s, now() from users,
			(values ('sumsub', 'rejected'), ('veriff', 'approved')) v (p, s)`
	if _, err := db.Exec(rejected); err != nil {
		t.Fatal(err)
	}
	const status = `select status from kyc_states`
	if got := get[string](t, db, status); got != "rejected" {
		t.Errorf("before: %s", got)
	}
	runs(t, "", "kyc", "resolve", "--email", "ann", "--vendor", "sumsub").want(t, exitUsage)
	runs(t, "", "kyc", "resolve", "--email", "ann@example.test", "--vendor", "operator").want(t, exitUsage)
	runs(t, "", "kyc", "resolve", "--email", "bea@example.test", "--vendor", "sumsub").want(t, exitFailed)
	runs(t, "", "kyc", "resolve", "--email", "Ann@example.test", "--vendor", "sumsub").want(t, 0)
	if got := get[string](t, db, status); got != "approved" {
		t.Errorf("after: %s", got)
	}
	runs(t, "", "kyc", "resolve", "--email", "ann@example.test", "--vendor", "sumsub").want(t, exitFailed)
	if got := get[string](t, db, `select string_agg(actor_kind || ' ' || action || ' ' || details, ', ') from audit`); got != `operator kyc.resolved {"provider": "sumsub"}` {
		t.Errorf("the audit trail: %s", got)
	}
}

func TestStoresPassesFlagsAndTheExitCode(t *testing.T) {
	withDatabase(t) // the servers of the tests run already, so stores starts none
	runs(t, "", "stores", "--", "sh", "-c", `test "$TEST_REDIS_URL" && test "$1 $2" = "--help -x" || exit 8; exit 7`, "sh", "--help", "-x").want(t, 7)
	runs(t, "", "stores", "sh", "-c", `exit 5`).want(t, 5)
	runs(t, "", "stores", "--", "true").want(t, exitDone)
}
