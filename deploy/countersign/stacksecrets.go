package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/service"
)

const (
	// keptFolder holds what cannot be made anew; the folders beside it hold copies, one for each recipient.
	keptFolder = "kept"
	keptFile   = "secrets.json"
	ownerRole  = "countersign_owner"
)

// stackSecrets are those of a stack of containers. Each is made once: data lies under the keys, and the stores know the
// passwords.
type stackSecrets struct {
	secrets
	Superuser string `json:"postgres_password"`
	Owner     string `json:"owner_db_password"`
	Redis     string `json:"redis_password"`
}

type secretsConfig struct {
	Dir         string `envconfig:"SECRETS_DIR" default:"/secrets"`
	Postgres    string `envconfig:"POSTGRES_ADDRESS" default:"postgres:5432"`
	Redis       string `envconfig:"REDIS_ADDRESS" default:"redis:6379"`
	DatabaseURL string `envconfig:"DATABASE_URL"`
}

// secretsCommand makes the secrets of a stack of containers, once, and hands each container its own; it also takes the
// three steps of a key's rotation. It never prints a secret.
func secretsCommand(ctx context.Context, args []string) error {
	var cfg secretsConfig
	if err := service.Load(&cfg); err != nil {
		return err
	}
	kept := localFolder(filepath.Join(cfg.Dir, keptFolder))
	release, err := kept.flock("lock", syscall.LOCK_EX) // two at once would lose a key
	if err != nil {
		return err
	}
	defer release()
	switch {
	case len(args) == 0:
		err = makeSecrets(cfg.Dir, kept)
	case len(args) == 1 && args[0] == "import":
		err = importSecrets(kept, os.Stdin)
	case len(args) == 2 && slices.Contains([]string{"append", "promote", "retire"}, args[0]):
		err = rotate(ctx, kept, args[0], args[1], cfg.DatabaseURL, os.Stdout)
	default:
		err = errors.New("secrets: no arguments, or import, or append, promote or retire and PIN_KEYS or AUTH_KEYS")
	}
	if err != nil {
		return err
	}
	return handOut(cfg, kept)
}

// makeSecrets makes what is missing. It makes no second set beside copies of a lost one: PINs lie under that.
func makeSecrets(dir string, kept localFolder) error {
	var s stackSecrets
	if err := kept.read(keptFile, &s); err != nil {
		return err
	}
	if s == (stackSecrets{}) {
		copies, err := filepath.Glob(filepath.Join(dir, "*", "*_url"))
		if err != nil || len(copies) > 0 {
			return fmt.Errorf("%s is lost, and copies of it are not: bring it back with secrets import, or, "+
				"if no data lies under it, remove the copies too (docker compose --profile '*' down -v)", kept.path(keptFile))
		}
	}
	s.secrets.fill()
	fillPasswords(&s.Superuser, &s.Owner, &s.Redis)
	return kept.write(keptFile, s)
}

// importSecrets takes the secrets of another stack, as its secrets.json has them, in the place of none.
func importSecrets(kept localFolder, from io.Reader) error {
	if _, err := os.Stat(kept.path(keptFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: a stack keeps its secrets", kept.path(keptFile))
	}
	content, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("reading the secrets: %w", err)
	}
	var s stackSecrets
	if err := json.Unmarshal(content, &s); err != nil {
		return errors.New("standard input is no secrets.json") // the cause may quote one
	}
	for _, ring := range []string{s.PinKeys, s.AuthKeys} {
		if _, err := keyring.Parse(ring); err != nil {
			return fmt.Errorf("a keyring in these secrets: %w", err)
		}
	}
	s.secrets.fill()
	fillPasswords(&s.Superuser, &s.Owner, &s.Redis)
	return kept.write(keptFile, s)
}

// handOut puts into each container's folder what that container needs and nothing more. The files may be read by all who
// see the folder, for the images run as different users; who sees it is decided by who mounts it.
func handOut(cfg secretsConfig, kept localFolder) error {
	var s stackSecrets
	if err := kept.read(keptFile, &s); err != nil {
		return err
	}
	database := func(user, password, name string) string {
		u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: cfg.Postgres, Path: name, RawQuery: "sslmode=disable"}
		return u.String()
	}
	redis := url.URL{Scheme: "redis", User: url.UserPassword("", s.Redis), Host: cfg.Redis, Path: "0"}
	service := func(role, password, ring, keys string) map[string]string {
		return map[string]string{"database_url": database(role, password, ownDatabase), "redis_url": redis.String(), ring: keys}
	}
	for recipient, files := range map[string]map[string]string{
		"postgres":     {"password": s.Superuser},
		"redis":        {"password": s.Redis, "redis.conf": "requirepass " + s.Redis},
		"auth":         service(schema.RoleAuth, s.AuthDB, "auth_keys", s.AuthKeys),
		"pin-admin":    service(schema.RolePinAdmin, s.PinAdminDB, "pin_keys", s.PinKeys),
		"pin-internal": service(schema.RolePinInternal, s.PinInternalDB, "pin_keys", s.PinKeys),
		"operator": {
			"superuser_url":            database("postgres", s.Superuser, "postgres"),
			"database_url":             database(ownerRole, s.Owner, ownDatabase),
			"redis_url":                redis.String(),
			"auth_db_password":         s.AuthDB,
			"pin_admin_db_password":    s.PinAdminDB,
			"pin_internal_db_password": s.PinInternalDB,
			"pin_keys":                 s.PinKeys,
			"auth_keys":                s.AuthKeys,
		},
	} {
		for name, content := range files {
			if err := handOver(filepath.Join(cfg.Dir, recipient), name, content+"\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

// handOver writes a file whole or not at all, and leaves one alone that is right: somebody may be reading it.
func handOver(folder, name, content string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making a folder for secrets: %w", err)
	}
	path := filepath.Join(folder, name)
	if now, err := os.ReadFile(path); err == nil && string(now) == content {
		return nil
	}
	unfinished := path + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("removing an unfinished secret: %w", err)
	}
	if err := os.WriteFile(unfinished, []byte(content), 0o444); err != nil {
		return fmt.Errorf("writing a secret: %w", err)
	}
	if err := os.Rename(unfinished, path); err != nil {
		return fmt.Errorf("naming a secret: %w", err)
	}
	return nil
}

// rotate takes one step: append a fresh key, which nothing is made under yet; promote the last key to the first, under
// which everything new is made; retire the others under which nothing lies any more.
func rotate(ctx context.Context, kept localFolder, step, ring, databaseURL string, out io.Writer) error {
	var s stackSecrets
	if err := kept.read(keptFile, &s); err != nil {
		return err
	}
	text, ok := map[string]*string{"PIN_KEYS": &s.PinKeys, "AUTH_KEYS": &s.AuthKeys}[ring]
	if !ok {
		return errors.New("secrets: the rings are PIN_KEYS and AUTH_KEYS")
	}
	if _, err := keyring.Parse(*text); err != nil {
		return fmt.Errorf("%s: %w", ring, err)
	}
	entries := strings.Split(*text, ",")
	switch step {
	case "append":
		entries = append(entries, newKey())
	case "promote":
		last := len(entries) - 1
		entries = append([]string{entries[last]}, entries[:last]...)
	case "retire":
		var err error
		if entries, err = unused(ctx, ring, entries, databaseURL, out); err != nil {
			return err
		}
	}
	*text = strings.Join(entries, ",")
	now, err := keyring.Parse(*text)
	if err != nil {
		return fmt.Errorf("%s: %w", ring, err)
	}
	if err := kept.write(keptFile, s); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", ring, strings.Join(now.IDs(), ", "))
	return nil
}

// unused drops the keys after the first that nothing lies under, and says what keeps the others.
func unused(ctx context.Context, ring string, entries []string, databaseURL string, out io.Writer) ([]string, error) {
	db, err := openDatabase(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	counts, err := countKeys(ctx, db)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(entries, func(entry string) bool {
		id, _, _ := strings.Cut(entry, ":")
		goes := entry != entries[0]
		for _, c := range counts {
			if c.Ring == ring && c.ID == id && goes {
				fmt.Fprintf(out, "%s stays: %d %s lie under it\n", id, c.Count, c.What)
				goes = false
			}
		}
		return goes
	}), nil
}
