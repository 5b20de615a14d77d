package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
)

// PasswordBudget says how often the password of one address may be guessed, whether or not anybody has the address. It
// slows and never locks for long: who knows an address must not be able to keep its owner out.
type PasswordBudget struct {
	// Attempts are the comparisons before a lock: 1 to 100.
	Attempts int `envconfig:"PASSWORD_BUDGET_ATTEMPTS" default:"10"`
	// Lock is how long the first lock lasts, at least a second; each further one without a right password between lasts
	// twice as long, up to LockMax.
	Lock    time.Duration `envconfig:"PASSWORD_BUDGET_LOCK" default:"1m"`
	LockMax time.Duration `envconfig:"PASSWORD_BUDGET_LOCK_MAX" default:"15m"`
}

// Validate names the first setting that is out of range.
func (b PasswordBudget) Validate() error {
	switch {
	case b.Attempts < 1 || b.Attempts > 100:
		return errors.New("PASSWORD_BUDGET_ATTEMPTS must be 1 to 100")
	case b.Lock < time.Second:
		return errors.New("PASSWORD_BUDGET_LOCK must be at least 1s")
	case b.LockMax < b.Lock:
		return errors.New("PASSWORD_BUDGET_LOCK_MAX must not be less than PASSWORD_BUDGET_LOCK")
	}
	return nil
}

// password is what a user's candidate is compared with.
type password struct {
	Hash       string    `db:"password_hash"`
	Generation uuid.UUID `db:"password_generation"`
}

// settleTime bounds what follows a comparison, which a client that hangs up does not cancel.
const settleTime = 5 * time.Second

// guess compares a candidate with the password of an address (in lower case). It reserves a place in the hashing pool,
// charges the attempt, compares, and settles the attempt. Only a right password forgives the charge, so a crash, a cancelled
// request or a parallel guess still costs an attempt. It returns the user also when the password is wrong. When no user has
// the address, it does the same work and returns the zero User.
//
// Errors: slowhash.ErrBusy and budget.ErrLocked (nothing was charged), or an error that prevented an answer.
func (a *Accounts) guess(ctx context.Context, email string, candidate secret.Text) (user User, compared password, right bool, err error) {
	place, err := a.pool.Reserve(everyone)
	if err != nil {
		return User{}, password{}, false, err
	}
	defer place.Release()
	attempt, err := a.guesses.Charge(ctx, email)
	if err != nil {
		return User{}, password{}, false, err
	}
	user, compared, err = a.credentials(ctx, email)
	if err != nil {
		return User{}, password{}, false, err
	}
	right, err = place.Matches(ctx, canonical(candidate), compared.Hash)
	if err != nil {
		return User{}, password{}, false, fmt.Errorf("comparing a password: %w", err)
	}
	a.comparisons.Inc()
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	switch {
	case right:
		err = a.guesses.Right(settling, a.db, attempt)
	case attempt.LockedFor > 0:
		err = audit.Record(settling, a.db, audit.Event{Action: "password.locked", TargetID: audit.ID(user.ID)})
	}
	if right && err == nil && slowhash.Outdated(compared.Hash, "") {
		err = a.renew(ctx, place, user.ID, candidate, compared.Hash)
	}
	return user, compared, right, err
}

// credentials returns the user with an address and the password; when nobody has it, the zero User and a password that no
// candidate matches. Postgres may take more spellings for the same than we do, and each would have a budget of its own: only
// the one that is stored opens.
func (a *Accounts) credentials(ctx context.Context, email string) (User, password, error) {
	const q = `
		select id, email, role, email_confirmed_at, password_hash, password_generation
		  from users where lower(email) = lower($1) and email = $1`
	var row struct {
		User
		password
	}
	err := a.db.GetContext(ctx, &row, q, email)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, password{Hash: decoy}, nil
	}
	if err != nil {
		return User{}, password{}, fmt.Errorf("looking up a user: %w", err)
	}
	return row.User, row.password, nil
}

// refuse records that a user, or nobody, was refused something, and returns the refusal. Hanging up does not keep it off the
// record.
func (a *Accounts) refuse(ctx context.Context, action string, user User, why string, refusal error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	event := audit.Event{Action: action, TargetID: audit.ID(user.ID), Details: map[string]any{"why": why}}
	if err := audit.Record(ctx, a.db, event); err != nil {
		return err
	}
	return refusal
}
