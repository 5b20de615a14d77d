// Package mfa is a user's second factor: the codes of an authenticator app (TOTP, RFC 6238), and recovery codes for when the
// app is lost. It promises that a code counts once, whatever runs in parallel, and that wherever codes are asked for, guesses
// at them are charged, to one budget, before they are compared.
package mfa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/pquerna/otp/totp"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
)

// The failures that a user can do something about.
var (
	ErrWrong  = fault.New(fault.Forbidden, "code_wrong", "The code is wrong, or was used before")
	ErrNone   = fault.New(fault.Conflict, "second_factor_missing", "There is no such second factor")
	ErrActive = fault.New(fault.Conflict, "second_factor_active", "There is a second factor already: remove it first")

	ErrUnknownKey = fault.New(fault.Unavailable, "second_factor_key_missing", "Codes of the app cannot be checked at the moment").RetryAfter(time.Minute)
)

// DefaultBudget is the guess budget of each user's codes in a deployment that sets no other.
var DefaultBudget = budget.Limits{Attempts: 5, Lock: 5 * time.Minute, LockMax: time.Hour, Failures: 100}

// Factors knows the second factors of all users.
type Factors struct {
	// Now is the clock that the apps' codes go by.
	Now func() time.Time

	db      *sqlx.DB
	ring    *keyring.Ring
	guesses budget.Guesses
	issuer  string
}

// New prepares Factors. issuer is the public URL of the service: apps show its host beside the user's address, so that the
// entries of two deployments are told apart.
func New(db *sqlx.DB, ring *keyring.Ring, limits budget.Limits, issuer string) *Factors {
	guesses := budget.Guesses{DB: db, Kind: budget.SecondFactor, Limits: limits}
	host := "Countersign"
	if u, err := url.Parse(issuer); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	return &Factors{Now: time.Now, db: db, ring: ring, guesses: guesses, issuer: host}
}

// Status is what users see of their second factor.
type Status struct {
	// ActiveSince is nil when nothing is asked for beside the password.
	ActiveSince *time.Time `db:"confirmed_at"`
	// RecoveryCodes is how many are left.
	RecoveryCodes int `db:"recovery_codes"`
}

// Status returns it; the zero Status for a user who has none.
func (f *Factors) Status(ctx context.Context, user uuid.UUID) (Status, error) {
	const q = `
		select confirmed_at, (select count(*) from recovery_codes c where c.user_id = f.user_id) as recovery_codes
		  from second_factors f where user_id = $1`
	var s Status
	err := f.db.GetContext(ctx, &s, q, user)
	if errors.Is(err, sql.ErrNoRows) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("looking up a second factor: %w", err)
	}
	return s, nil
}

// Enrolment is what an app has to be told, once.
type Enrolment struct {
	// Secret is in base32, to be typed; URI is all of it (otpauth://…), to be scanned.
	Secret, URI secret.Text
}

// Enrol makes a second factor that is still to be confirmed, and replaces one that was never. Until then nothing asks for a
// code. It returns ErrActive when there is one already.
func (f *Factors) Enrol(ctx context.Context, user uuid.UUID, email string) (Enrolment, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: f.issuer, AccountName: email, Period: period})
	if err != nil {
		return Enrolment{}, fmt.Errorf("making a second factor: %w", err)
	}
	sealed, err := f.ring.Seal(keyring.SecondFactors, user.String(), []byte(key.Secret()))
	if err != nil {
		return Enrolment{}, fmt.Errorf("sealing a second factor: %w", err)
	}
	err = audit.Change(ctx, f.db, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `
			insert into second_factors (user_id, secret_sealed) values ($1, $2)
			on conflict (user_id) do update set secret_sealed = $2, created_at = now() where second_factors.confirmed_at is null`
		event := audit.Event{Action: "second_factor.enrolled", TargetID: audit.ID(user)}
		return event, one(ErrActive)(tx.ExecContext(ctx, q, user, sealed))
	})
	return Enrolment{secret.New(key.Secret()), secret.New(key.URL())}, err
}

// Remove takes the second factor away, with its recovery codes, from who shows a code of it.
func (f *Factors) Remove(ctx context.Context, user uuid.UUID, code Code) error {
	return f.check(ctx, user, code, true, "second_factor.removed", func(tx *sqlx.Tx) error { return remove(ctx, tx, user) })
}

// remove deletes a user's second factor and its recovery codes. It returns ErrNone.
func remove(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	return one(ErrNone)(tx.ExecContext(ctx, `delete from second_factors where user_id = $1`, user))
}

// one returns a function that reads the outcome of a statement which is to concern one row; none is what it means when it
// concerned none.
func one(none error) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return fmt.Errorf("writing a second factor: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, none)
		}
		return nil
	}
}
