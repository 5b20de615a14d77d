package main

import (
	"bytes"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

func stackFolder(t *testing.T) (secretsConfig, localFolder) {
	t.Helper()
	cfg := secretsConfig{Dir: t.TempDir(), Postgres: "postgres:5432", Redis: "redis:6379"}
	kept := localFolder(filepath.Join(cfg.Dir, keptFolder))
	if err := os.Mkdir(string(kept), 0o700); err != nil {
		t.Fatal(err)
	}
	return cfg, kept
}

func makeAndHandOut(t *testing.T, cfg secretsConfig, kept localFolder) stackSecrets {
	t.Helper()
	if err := makeSecrets(cfg.Dir, kept); err != nil {
		t.Fatal(err)
	}
	if err := handOut(cfg, kept); err != nil {
		t.Fatal(err)
	}
	var s stackSecrets
	if err := kept.read(keptFile, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// handedOut returns what each recipient got.
func handedOut(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		recipient, err2 := filepath.Rel(dir, filepath.Dir(path))
		got[recipient] += string(content)
		if err2 != nil {
			return err2
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEachContainerGetsItsOwnSecretsAndNoOthers(t *testing.T) {
	t.Parallel()
	cfg, kept := stackFolder(t)
	s := makeAndHandOut(t, cfg, kept)
	got := handedOut(t, cfg.Dir)
	for secret, want := range map[string][]string{
		s.Superuser:     {"kept", "operator", "postgres"},
		s.Owner:         {"kept", "operator"},
		s.Redis:         {"auth", "kept", "operator", "pin-admin", "pin-internal", "redis"},
		s.AuthDB:        {"auth", "kept", "operator"},
		s.PinAdminDB:    {"kept", "operator", "pin-admin"},
		s.PinInternalDB: {"kept", "operator", "pin-internal"},
		s.AuthKeys:      {"auth", "kept", "operator"},
		s.PinKeys:       {"kept", "operator", "pin-admin", "pin-internal"},
	} {
		var has []string
		for _, recipient := range slices.Sorted(maps.Keys(got)) {
			if secret == "" || strings.Contains(got[recipient], secret) {
				has = append(has, recipient)
			}
		}
		if !slices.Equal(has, want) {
			t.Errorf("a secret went to %v, want %v", has, want)
		}
	}
	if _, err := stores.OpenPostgres(stores.PostgresConfig{URL: strings.TrimSpace(read(t, cfg.Dir, "auth/database_url"))}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(kept.path(keptFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	file := filepath.Join(cfg.Dir, "auth/database_url")
	before, _ := os.Stat(file)
	if again := makeAndHandOut(t, cfg, kept); again != s {
		t.Error("a second start made other secrets")
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Error("a second start wrote what was right")
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestLostSecretsAreBroughtBackAndNotMadeAnew(t *testing.T) {
	t.Parallel()
	cfg, kept := stackFolder(t)
	s := makeAndHandOut(t, cfg, kept)
	backup := read(t, cfg.Dir, keptFolder+"/"+keptFile)
	if err := importSecrets(kept, strings.NewReader(backup)); err == nil {
		t.Error("they were imported over others")
	}
	if err := os.Remove(kept.path(keptFile)); err != nil {
		t.Fatal(err)
	}
	if err := makeSecrets(cfg.Dir, kept); err == nil {
		t.Error("others were made beside data that lies under the lost ones")
	}
	for _, damaged := range []string{"", "{}", `{"pin_keys":"` + s.PinKeys[:20]} {
		if err := importSecrets(kept, strings.NewReader(damaged)); err == nil || strings.Contains(err.Error(), s.PinKeys[:20]) {
			t.Errorf("a damaged backup: %v", err)
		}
	}
	if err := importSecrets(kept, strings.NewReader(backup)); err != nil {
		t.Fatal(err)
	}
	if again := makeAndHandOut(t, cfg, kept); again != s {
		t.Error("the backup has other secrets")
	}
}

func TestKeysAreAppendedPromotedAndRetired(t *testing.T) {
	t.Parallel()
	cfg, kept := stackFolder(t)
	old := makeAndHandOut(t, cfg, kept)
	db, address := open(t)
	var out bytes.Buffer
	step := func(name string) []string {
		t.Helper()
		if err := rotate(t.Context(), kept, name, "PIN_KEYS", address, &out); err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.Parse(makeAndHandOut(t, cfg, kept).PinKeys)
		if err != nil {
			t.Fatal(err)
		}
		return ring.IDs()
	}
	first, _, _ := strings.Cut(old.PinKeys, ":")
	ids := step("append")
	if len(ids) != 2 || ids[0] != first {
		t.Fatalf("appended: %v", ids)
	}
	second := ids[1]
	if ids = step("promote"); !slices.Equal(ids, []string{second, first}) {
		t.Fatalf("promoted: %v", ids)
	}
	const holder = `with c as (insert into customers (email) values ('a@example.com') returning id)
		insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
		select id, id, '$argon2id$v=19$m=8,t=1,p=1,keyid=' || $1 || '$c2FsdA$aGFzaA', id, now() from c`
	if _, err := db.Exec(holder, first); err != nil {
		t.Fatal(err)
	}
	if ids = step("retire"); !slices.Equal(ids, []string{second, first}) {
		t.Errorf("a key went while a PIN lies under it: %v", ids)
	}
	if _, err := db.Exec(`delete from customers`); err != nil {
		t.Fatal(err)
	}
	if ids = step("retire"); !slices.Equal(ids, []string{second}) {
		t.Errorf("retired: %v", ids)
	}
	if got := read(t, cfg.Dir, "pin-internal/pin_keys"); strings.TrimSpace(got) != makeAndHandOut(t, cfg, kept).PinKeys {
		t.Error("the services still get the old ring")
	}
	for key := range strings.SplitSeq(old.PinKeys+","+read(t, cfg.Dir, "pin-internal/pin_keys"), ",") {
		if _, secret, _ := strings.Cut(key, ":"); strings.Contains(out.String(), secret) {
			t.Error("a key was printed")
		}
	}
	if err := rotate(t.Context(), kept, "append", "KEYS", address, &out); err == nil {
		t.Error("a ring that is not there")
	}
}

func TestRenewingSealsUnderTheCurrentKey(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	old, err := keyring.Parse(ringOne)
	if err != nil {
		t.Fatal(err)
	}
	const id = "11111111-1111-4111-8111-111111111111"
	for purpose, insert := range map[keyring.Purpose]string{
		keyring.SigningKeys: `insert into signing_keys (id, public_key, private_sealed) values ($1, decode(repeat('00', 32), 'hex'), $2)`,
		keyring.SecondFactors: `with u as (insert into users (id, email, password_hash) values ($1, 'eve@example.com', '') returning id)
			insert into second_factors (user_id, secret_sealed) select id, $2 from u`,
		keyring.ExchangeKeys: `with u as (insert into users (email, password_hash) values ('ada@example.com', '') returning id)
			insert into exchange_keys (id, user_id, exchange, masked_key, is_testnet, permissions, credentials_sealed) select $1, id, 'sandbox', '', false, '{}', $2 from u`,
	} {
		sealed, err := old.Seal(purpose, id, []byte(purpose))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(insert, id, sealed); err != nil {
			t.Fatal(err)
		}
	}
	if err := renewSeals(t.Context(), db, ringTwo); err == nil {
		t.Error("it was renewed without the key that it lies under")
	}
	alone, err := keyring.Parse(ringTwo)
	if err != nil {
		t.Fatal(err)
	}
	before := ""
	for range 2 { // the second time there is nothing to do
		if err := renewSeals(t.Context(), db, ringTwo+","+ringOne); err != nil {
			t.Fatal(err)
		}
		all := ""
		for _, s := range seals {
			var sealed []byte
			if err := db.QueryRow(`select ` + s.column + ` from ` + s.table).Scan(&sealed); err != nil {
				t.Fatal(err)
			}
			if plain, err := alone.Open(s.purpose, id, sealed); err != nil || string(plain) != string(s.purpose) {
				t.Errorf("%s: %q, %v", s.what, plain, err)
			}
			all += string(sealed)
		}
		if before != "" && all != before {
			t.Error("what lay under the current key was sealed again")
		}
		before = all
	}
}

// The owner of the schema is no superuser, and everything that a migration does is within its rights.
func TestTheSchemasOwnerIsMadeAndMigrates(t *testing.T) {
	t.Parallel()
	server, err := localstores.StartPostgres(t.Context(), localstores.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/stack"
	for _, password := range []string{"first", "second"} {
		u.User = url.UserPassword("keeper", password)
		if err := ensureOwner(t.Context(), server.URL, u.String()); err != nil {
			t.Fatal(err)
		}
		db, err := openDatabase(t.Context(), u.String())
		if err != nil {
			t.Fatalf("with the %s password: %v", password, err)
		}
		defer db.Close()
		if err := prepareDatabase(t.Context(), db, map[string]string{schema.RoleAuth: password}); err != nil {
			t.Fatal(err)
		}
		var super bool
		if err := db.QueryRow(`select rolsuper from pg_roles where rolname = current_user`).Scan(&super); err != nil || super {
			t.Errorf("the owner is a superuser: %v, %v", super, err)
		}
	}
	if err := ensureOwner(t.Context(), server.URL, "postgres://127.0.0.1/"); err == nil {
		t.Error("an address without a user and a database was taken")
	}
}
