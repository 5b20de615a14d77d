package secrets

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/schema"
)

// The database of the stack and its owner.
const (
	databaseName  = "countersign"
	databaseOwner = "countersign_owner"
)

// distribute writes into each container's folder the secrets that this container needs, and no others. Every user may read
// the files, because the images run as different users. Only the containers that mount a folder can see it.
func (c Config) distribute(s containers) error {
	database := func(user, password, name string) string {
		u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: c.Postgres, Path: name, RawQuery: "sslmode=disable"}
		return u.String()
	}
	redis := func(user, password string) string {
		u := url.URL{Scheme: "redis", User: url.UserPassword(user, password), Host: c.Redis, Path: "0"}
		return u.String()
	}
	service := func(role, password, ring, keys string) map[string]string {
		return map[string]string{"database_url": database(role, password, databaseName), "redis_url": redis(role, s.RedisPasswords()[role]), ring: keys}
	}
	for container, files := range map[string]map[string]string{
		"postgres":     {"password": s.Superuser},
		"redis":        {"password": s.Redis, "users.acl": redisuser.File(s.Redis, s.RedisPasswords())},
		"auth":         service(schema.RoleAuth, s.AuthDB, "auth_keys", s.AuthKeys),
		"pin-admin":    service(schema.RolePinAdmin, s.PinAdminDB, "pin_keys", s.PinKeys),
		"pin-internal": service(schema.RolePinInternal, s.PinInternalDB, "pin_keys", s.PinKeys),
		"operator": {
			"superuser_url":               database("postgres", s.Superuser, "postgres"),
			"database_url":                database(databaseOwner, s.Owner, databaseName),
			"redis_url":                   redis("default", s.Redis),
			"auth_db_password":            s.AuthDB,
			"pin_admin_db_password":       s.PinAdminDB,
			"pin_internal_db_password":    s.PinInternalDB,
			"auth_redis_password":         s.AuthRedis,
			"pin_admin_redis_password":    s.PinAdminRedis,
			"pin_internal_redis_password": s.PinInternalRedis,
			"pin_keys":                    s.PinKeys,
			"auth_keys":                   s.AuthKeys,
		},
	} {
		for name, content := range files {
			if err := writeFile(filepath.Join(c.Dir, container), name, content+"\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeFile writes a file unless it already has this content. It replaces the file in one step, because a container may read it
// at the same time.
func writeFile(dir, name, content string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making a folder for secrets: %w", err)
	}
	path := filepath.Join(dir, name)
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
		return fmt.Errorf("renaming a secret: %w", err)
	}
	return nil
}
