// Package password checks, compares and replaces users' passwords. Guesses are limited by three kinds of budgets: logins from
// unknown networks, logins from each known network, and signed-in sessions. An attempt is charged before it is compared, and only
// the right password forgives it. The work is the same whether or not a user has the address, so the duration of an answer does not
// reveal whether the address has an account. The design: docs/decisions/0021-three-password-budgets.md.
package password

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// ErrWrong means that a signed-in user entered a wrong password. The session stays valid.
var ErrWrong = fault.New(fault.Forbidden, "password_wrong", "The password is wrong")

// ErrUsedUp is budget.ErrUsedUp with what a user can do.
var ErrUsedUp = fault.New(fault.RateLimited, budget.ErrUsedUp.Code, "Too many wrong passwords: reset the password by mail")

// DefaultBudget is the size of each password budget. Its locks are short. 100 consecutive failures use it up (NIST SP 800-63B,
// section 5.2.2); then only a new password helps, by mail or in a session.
var DefaultBudget = budget.Limits{Attempts: 10, Lock: time.Minute, LockMax: 15 * time.Minute, Failures: 100}

// Passwords compares and replaces passwords.
type Passwords struct {
	db          *sqlx.DB
	charger     *budget.Charger
	pool        *slowhash.Pool
	limits      budget.Limits
	networks    *network.Networks
	comparisons prometheus.Counter
}

// New returns Passwords that hash in pool. It registers their metric.
func New(limits budget.Limits, db *sqlx.DB, charger *budget.Charger, pool *slowhash.Pool, networks *network.Networks, registry prometheus.Registerer) *Passwords {
	p := &Passwords{
		db: db, charger: charger, pool: pool, limits: limits, networks: networks,
		comparisons: prometheus.NewCounter(prometheus.CounterOpts{Name: "password_comparisons_total", Help: "Candidates compared with a password, or with the decoy."}),
	}
	registry.MustRegister(p.comparisons)
	return p
}

// guesses returns the guess budgets of a kind. All kinds have the same size.
func (p *Passwords) guesses(kind budget.Kind) budget.Guesses {
	return budget.Guesses{DB: p.db, Charger: p.charger, Kind: kind, Limits: p.limits}
}

// tenant returns the caller's tenant of the hashing pool: a signed-in user, or the network of a stranger. A stranger with a whole
// IPv6 /48 is one tenant.
func tenant(ctx context.Context) uuid.UUID {
	who := caller.From(ctx)
	if who.Kind == caller.User {
		return who.ID
	}
	networks := ratelimit.Networks(who.Address)
	return uuid.NewSHA1(uuid.Nil, []byte(networks[len(networks)-1]))
}

// canonical returns the bytes that are hashed. Unicode can write the same text in several ways, and keyboards differ in the
// form that they produce. NFC is the same for all of these forms.
func canonical(password secret.Text) []byte { return norm.NFC.Bytes([]byte(password.Reveal())) }

// Hash returns the stored form of a password. It returns slowhash.ErrBusy when the pool has no place.
func (p *Passwords) Hash(ctx context.Context, chosen secret.Text) (string, error) {
	return Hash(ctx, p.pool, chosen)
}

// Hash returns the stored form of a password. It returns slowhash.ErrBusy when the pool has no place.
func Hash(ctx context.Context, pool *slowhash.Pool, chosen secret.Text) (string, error) {
	hash, err := pool.Hash(ctx, tenant(ctx), canonical(chosen), "")
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// Change replaces the password of the signed-in user and ends the user's other sessions. It returns the errors of Check
// about next, the errors of Prove about current, and slowhash.ErrBusy.
func (p *Passwords) Change(ctx context.Context, current, next secret.Text) error {
	who := caller.From(ctx)
	if err := Check(next, "new_password", who.Email); err != nil {
		return err
	}
	generation, err := p.Prove(ctx, "password.refused", current)
	if err != nil {
		return err
	}
	hash, err := p.Hash(ctx, next)
	if err != nil {
		return err
	}
	return audit.Change(ctx, p.db, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `select exists (select from users where id = $1 and password_generation = $2 for update)`
		var unchanged bool
		if err := tx.GetContext(ctx, &unchanged, q, who.ID, generation); err != nil {
			return audit.Event{}, fmt.Errorf("locking a user: %w", err)
		}
		if !unchanged {
			return audit.Event{}, ErrWrong // another request replaced the password
		}
		if err := Set(ctx, tx, who.ID, who.Email, hash, who.SessionID); err != nil {
			return audit.Event{}, err
		}
		if err := mail.Notify(ctx, tx, who.ID, mail.PasswordChanged); err != nil {
			return audit.Event{}, err
		}
		return audit.Event{Action: "password.changed", TargetID: audit.ID(who.ID)}, p.networks.KeepCurrent(ctx, tx, who.ID)
	})
}

// Set stores a user's new password. It renews the user's password budgets, ends all sessions except keep (uuid.Nil: all), ends the
// repeated signups, and stops sign-ins that began with the old password. It withdraws links to a new address: a thief of a session
// may have requested them. The caller then calls network.KeepCurrent or network.Forget.
func Set(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, email, hash string, keep uuid.UUID) error {
	const q = `update users set password_hash = $2, password_generation = gen_random_uuid(), updated_at = now() where id = $1`
	if _, err := tx.ExecContext(ctx, q, user, hash); err != nil {
		return fmt.Errorf("setting a password: %w", err)
	}
	if err := endRepeatedSignups(ctx, tx, user); err != nil {
		return err
	}
	if err := mail.WithdrawLinks(ctx, tx, user, mail.NewAddress); err != nil {
		return err
	}
	if _, err := usersession.EndAll(ctx, tx, user, keep, usersession.ByPassword); err != nil {
		return err
	}
	if err := (budget.Guesses{Kind: budget.PasswordSignedIn}).Renew(ctx, tx, user.String()); err != nil {
		return err
	}
	return RenewBudget(ctx, tx, email)
}

// RenewGeneration stops sign-ins of a user that have compared the password and have not opened a session yet.
func RenewGeneration(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	if _, err := tx.ExecContext(ctx, `update users set password_generation = gen_random_uuid() where id = $1`, user); err != nil {
		return fmt.Errorf("renewing a password's generation: %w", err)
	}
	return nil
}

// RenewBudget renews the guess budget of logins to an address (in lower case) from unknown networks.
func RenewBudget(ctx context.Context, tx *sqlx.Tx, email string) error {
	return budget.Guesses{Kind: budget.Password}.Renew(ctx, tx, email)
}
