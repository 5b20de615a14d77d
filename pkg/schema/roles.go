package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/stores"
)

// The Postgres roles of the three services.
const (
	RoleAuth        = "countersign_auth"
	RolePinAdmin    = "countersign_pin_admin"
	RolePinInternal = "countersign_pin_internal"
)

// Roles are all service roles, in the order in which the services start.
var Roles = []string{RoleAuth, RolePinAdmin, RolePinInternal}

// TimeLimits are the parameters of the service roles that limit how long a statement runs and waits. They belong to the roles, so
// that they also apply through a pooler. Other roles have no such limits.
var TimeLimits = map[string]time.Duration{
	"lock_timeout":                        stores.LockTimeout,
	"statement_timeout":                   stores.StatementTimeout,
	"idle_in_transaction_session_timeout": stores.IdleTimeout,
}

const (
	// administratorConnections is the number of connections that the service roles together leave to other roles.
	administratorConnections = 10
	// leastConnections is the smallest limit of connections. One process opens up to 20 (DATABASE_CONNECTIONS).
	leastConnections = 20
)

// EnsureRoles creates the missing service roles, and sets their time limits and the limit of their connections. If passwords
// contains a role, the role may log in with that password. This is not a migration, because roles belong to the server and not to
// one database. The connection needs CREATEROLE, unless nothing has to be changed.
//
// connections is the limit for each role. 0 means a third of what the server allows, without 10 connections for administrators.
func EnsureRoles(ctx context.Context, db *sql.DB, passwords map[string]string, connections int) error {
	if connections == 0 {
		const q = `select (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - $1) / 3`
		if err := db.QueryRowContext(ctx, q, administratorConnections).Scan(&connections); err != nil {
			return fmt.Errorf("reading how many connections the server allows: %w", err)
		}
		connections = max(connections, leastConnections)
	}
	for _, role := range Roles {
		_, err := db.ExecContext(ctx, `create role `+pq.QuoteIdentifier(role))
		var e *pq.Error
		// duplicate_object, or unique_violation if two sessions create the same role at the same moment.
		if err != nil && !(errors.As(err, &e) && (e.Code == "42710" || e.Code == "23505")) {
			return fmt.Errorf("creating role %s: %w", role, err)
		}
		if password, ok := passwords[role]; ok {
			if _, err := db.ExecContext(ctx, `alter role `+pq.QuoteIdentifier(role)+` login password `+pq.QuoteLiteral(password)); err != nil {
				return fmt.Errorf("setting the password of role %s: %w", role, err)
			}
		}
		if err := limit(ctx, db, role, connections); err != nil {
			return fmt.Errorf("setting the limits of role %s: %w", role, err)
		}
	}
	return nil
}

// limit sets the limits of a role that differ from the wanted limits.
func limit(ctx context.Context, db *sql.DB, role string, connections int) error {
	var current int
	var settings []string
	const q = `select rolconnlimit, coalesce(rolconfig, '{}') from pg_roles where rolname = $1`
	if err := db.QueryRowContext(ctx, q, role).Scan(&current, pq.Array(&settings)); err != nil {
		return err
	}
	alter := `alter role ` + pq.QuoteIdentifier(role)
	if current != connections {
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`%s connection limit %d`, alter, connections)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(TimeLimits)) {
		value := TimeLimits[name].String()
		if slices.Contains(settings, name+"="+value) {
			continue
		}
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`%s set %s = %s`, alter, name, pq.QuoteLiteral(value))); err != nil {
			return err
		}
	}
	return nil
}
