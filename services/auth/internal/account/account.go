// Package account knows who can sign in and who did: users, their passwords, and their sign-in sessions. It promises that
// nobody learns from its answers, or from how long they take, whether an address has an account; and that a refresh token
// which two hold ends the session for both.
package account

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/signing"
)

// Config says how long a sign-in lasts.
type Config struct {
	// AccessLifetime is how long an access token is good without being refreshed.
	AccessLifetime time.Duration `envconfig:"ACCESS_LIFETIME" default:"15m"`
	// SessionLifetime is how long after a sign-in its session can be refreshed, however often that is done: a person
	// proves the password again every 30 days (NIST SP 800-63B).
	SessionLifetime time.Duration `envconfig:"SESSION_LIFETIME" default:"720h"`
	PasswordBudget
}

// Accounts knows the users of the deployment.
type Accounts struct {
	config  Config
	issuer  string
	db      *sqlx.DB
	ring    *keyring.Ring
	keys    *signing.Keys
	tokens  *accesstoken.Reader
	pool    *slowhash.Pool
	factors *mfa.Factors
	outbox  *mail.Outbox
	guesses budget.Guesses

	comparisons prometheus.Counter
}

// New prepares Accounts. issuer is the public URL of the service, which access tokens name and tokens reads. Its metrics go
// to registry.
func New(config Config, issuer string, db *sqlx.DB, ring *keyring.Ring, keys *signing.Keys, tokens *accesstoken.Reader, pool *slowhash.Pool,
	factors *mfa.Factors, outbox *mail.Outbox, registry prometheus.Registerer) *Accounts {
	limits := budget.Limits{Attempts: config.Attempts, Lock: config.Lock, LockMax: config.LockMax}
	a := &Accounts{config: config, issuer: issuer, db: db, ring: ring, keys: keys, tokens: tokens, pool: pool, factors: factors, outbox: outbox,
		guesses:     budget.Guesses{DB: db, Kind: budget.Password, Limits: limits},
		comparisons: prometheus.NewCounter(prometheus.CounterOpts{Name: "password_comparisons_total", Help: "Candidates compared with a password, or with the decoy."}),
	}
	registry.MustRegister(a.comparisons)
	return a
}

// User is somebody who can sign in.
type User struct {
	ID    uuid.UUID `db:"id"`
	Email string    `db:"email"`
	Role  string    `db:"role"`
	// EmailConfirmedAt is nil while the address is not proved; then the user cannot sign in.
	EmailConfirmedAt *time.Time `db:"email_confirmed_at"`
}

// as returns a context in which this user acts, who has just proved it, for the audit trail.
func as(ctx context.Context, user uuid.UUID) context.Context {
	who := caller.From(ctx)
	who.Kind, who.ID = caller.User, user
	return caller.NewContext(ctx, who)
}

// together runs statements that must agree: all of them hold, or none.
func (a *Accounts) together(ctx context.Context, do func(tx *sqlx.Tx) error) error {
	tx, err := a.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}
