package secrets

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestLoadMakesSecretsOnce(t *testing.T) {
	t.Parallel()
	dir := folder.Folder(t.TempDir())
	first, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, ring := range []string{first.PinKeys, first.AuthKeys} {
		if _, err := keyring.Parse(ring); err != nil {
			t.Error(err)
		}
	}
	if again, err := Load(dir); err != nil || again != first {
		t.Errorf("a second start made other secrets, or %v", err)
	}
	if info, err := os.Stat(dir.Path(File)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// newStack returns a stack without secrets.
func newStack(t *testing.T) *Stack {
	t.Helper()
	t.Parallel()
	config := Config{Dir: t.TempDir(), Postgres: "postgres:5432", Redis: "redis:6379"}
	if err := os.Mkdir(filepath.Join(config.Dir, keptFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// made calls Make and returns the stored secrets.
func (s *Stack) made(t *testing.T) (all containers) {
	t.Helper()
	if err := s.Make(); err != nil {
		t.Fatal(err)
	}
	if err := s.kept.Read(File, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *Stack) read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.config.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// distributed returns the content of each container's folder.
func (s *Stack) distributed(t *testing.T) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(s.config.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		container, err := filepath.Rel(s.config.Dir, filepath.Dir(path))
		got[container] += string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEachContainerGetsOnlyItsOwnSecrets(t *testing.T) {
	s := newStack(t)
	all := s.made(t)
	got := s.distributed(t)
	for secret, want := range map[string][]string{
		all.Superuser:        {"kept", "operator", "postgres"},
		all.Owner:            {"kept", "operator"},
		all.Redis:            {"kept", "operator", "redis"},
		all.AuthRedis:        {"auth", "kept", "operator"},
		all.PinAdminRedis:    {"kept", "operator", "pin-admin"},
		all.PinInternalRedis: {"kept", "operator", "pin-internal"},
		all.AuthDB:           {"auth", "kept", "operator"},
		all.PinAdminDB:       {"kept", "operator", "pin-admin"},
		all.PinInternalDB:    {"kept", "operator", "pin-internal"},
		all.AuthKeys:         {"auth", "kept", "operator"},
		all.PinKeys:          {"kept", "operator", "pin-admin", "pin-internal"},
	} {
		var has []string
		for _, container := range slices.Sorted(maps.Keys(got)) {
			if secret == "" || strings.Contains(got[container], secret) {
				has = append(has, container)
			}
		}
		if !slices.Equal(has, want) {
			t.Errorf("a secret went to %v, want %v", has, want)
		}
	}
	if _, err := stores.OpenPostgres(stores.PostgresConfig{URL: strings.TrimSpace(s.read(t, "auth/database_url"))}); err != nil {
		t.Error(err)
	}
	if redis := s.read(t, "operator/redis_url"); !strings.HasPrefix(redis, "redis://default:"+all.Redis+"@") {
		t.Error("redis-cli refuses the administrator's URL, because it has no user")
	}
	if info, err := os.Stat(s.kept.Path(File)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	file := filepath.Join(s.config.Dir, "auth/database_url")
	before, _ := os.Stat(file)
	if again := s.made(t); again != all {
		t.Error("a second start made other secrets")
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Error("a second start wrote a file that had the right content")
	}
}

func TestUpgradeAddsMissingSecrets(t *testing.T) {
	s := newStack(t)
	old := s.made(t)
	old.AuthRedis, old.PinAdminRedis, old.PinInternalRedis = "", "", ""
	if err := s.kept.Write(File, old); err != nil {
		t.Fatal(err)
	}
	all := s.made(t)
	if all.Redis != old.Redis || all.AuthDB != old.AuthDB || all.PinKeys != old.PinKeys {
		t.Error("an existing secret was replaced")
	}
	if got := s.read(t, "redis/users.acl"); strings.TrimSpace(got) != redisuser.File(all.Redis, all.RedisPasswords()) {
		t.Errorf("the ACL file is %s", got)
	}
	if got := s.read(t, "auth/redis_url"); all.AuthRedis == "" || !strings.HasPrefix(got, "redis://countersign_auth:"+all.AuthRedis+"@") {
		t.Error("auth has no user of its own in Redis")
	}
}

func TestLostSecretsAreImportedAndNotMadeAgain(t *testing.T) {
	s := newStack(t)
	all := s.made(t)
	backup := s.read(t, keptFolder+"/"+File)
	if err := s.Import(strings.NewReader(backup)); err == nil {
		t.Error("Import replaced existing secrets")
	}
	if err := os.Remove(s.kept.Path(File)); err != nil {
		t.Fatal(err)
	}
	if err := s.Make(); err == nil {
		t.Error("other secrets were made while data is stored under the lost ones")
	}
	for _, damaged := range []string{"", "{}", `{"pin_keys":"` + all.PinKeys[:20]} {
		if err := s.Import(strings.NewReader(damaged)); err == nil || strings.Contains(err.Error(), all.PinKeys[:20]) {
			t.Errorf("a damaged backup: %v", err)
		}
	}
	if err := s.Import(strings.NewReader(backup)); err != nil {
		t.Fatal(err)
	}
	if again := s.made(t); again != all {
		t.Error("the imported secrets are not those of the backup")
	}
}

func TestKeysAreAppendedPromotedAndRetired(t *testing.T) {
	s := newStack(t)
	old := s.made(t)
	database := storetest.Postgres(t)
	db := database.Open(t, "")
	var out bytes.Buffer
	wantIDs := func(err error, want ...string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.Parse(s.made(t).PinKeys)
		if err != nil {
			t.Fatal(err)
		}
		if got := ring.IDs(); !slices.Equal(got, want) {
			t.Fatalf("the keys are %v, want %v", got, want)
		}
	}
	first, _, _ := strings.Cut(old.PinKeys, ":")
	err := s.Append("PIN_KEYS", &out)
	_, added, _ := strings.Cut(s.made(t).PinKeys, ",")
	second, _, _ := strings.Cut(added, ":")
	wantIDs(err, first, second)
	wantIDs(s.Promote("PIN_KEYS", &out), second, first)
	const holder = `with c as (insert into customers (email) values ('a@example.com') returning id)
		insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
		select id, id, '$argon2id$v=19$m=8,t=1,p=1,keyid=' || $1 || '$c2FsdA$aGFzaA', id, now() from c`
	if _, err := db.Exec(holder, first); err != nil {
		t.Fatal(err)
	}
	wantIDs(s.Retire(t.Context(), "PIN_KEYS", database.URL, &out), second, first)
	if !strings.Contains(out.String(), first+" stays: 1 PINs are stored under it") {
		t.Errorf("it does not say why the key stays: %s", out.String())
	}
	if _, err := db.Exec(`delete from customers`); err != nil {
		t.Fatal(err)
	}
	wantIDs(s.Retire(t.Context(), "PIN_KEYS", database.URL, &out), second)
	if got := s.read(t, "pin-internal/pin_keys"); strings.TrimSpace(got) != s.made(t).PinKeys {
		t.Error("the services still get the old ring")
	}
	for key := range strings.SplitSeq(old.PinKeys+","+s.read(t, "pin-internal/pin_keys"), ",") {
		if _, secret, _ := strings.Cut(key, ":"); strings.Contains(out.String(), secret) {
			t.Error("a key was printed")
		}
	}
	if err := s.Append("KEYS", &out); err == nil {
		t.Error("a key was appended to an unknown ring")
	}
}
