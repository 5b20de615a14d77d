// Package mfa stores users' second factors: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for a user who
// lost the app. Each code can be used once, also by concurrent requests. Every endpoint charges an attempt to one of the user's
// guess budgets before it compares a code. Sign-ins have one budget, and all sessions of the user share another: a party that
// knows only the password cannot lock the user's sessions.
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
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/mail"
)

// Why a code or a change of a second factor is refused.
var (
	ErrWrong    = fault.New(fault.Forbidden, "code_wrong", "The code is wrong or was already used")
	ErrNoFactor = fault.New(fault.Conflict, "second_factor_missing", "There is no second factor")
	ErrActive   = fault.New(fault.Conflict, "second_factor_active", "There already is a second factor: remove it first")

	ErrUnknownKey = fault.New(fault.Unavailable, "second_factor_key_missing", "Codes of the app cannot be checked now").RetryAfter(time.Minute)
)

// ErrUsedUp is budget.ErrUsedUp with what a user can do.
var ErrUsedUp = fault.New(fault.RateLimited, budget.ErrUsedUp.Code, "Too many wrong codes: the operator must reset the second factor")

// DefaultBudget is the default size of the guess budgets of each user's codes.
var DefaultBudget = budget.Limits{Attempts: 5, Lock: 5 * time.Minute, LockMax: time.Hour, Failures: 100}

// Factors stores second factors and checks their codes.
type Factors struct {
	// Now is the clock for TOTP codes. Tests replace it.
	Now func() time.Time

	db      *sqlx.DB
	charger *budget.Charger
	ring    *keyring.Ring
	limits  budget.Limits
	issuer  string
}

// New returns Factors. issuer is the public URL of the service. Apps show its host beside the user's address, so that users can
// distinguish the entries of two deployments.
func New(db *sqlx.DB, charger *budget.Charger, ring *keyring.Ring, limits budget.Limits, issuer string) *Factors {
	host := "Countersign"
	if u, err := url.Parse(issuer); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	return &Factors{Now: time.Now, db: db, charger: charger, ring: ring, limits: limits, issuer: host}
}

// guesses returns the guess budgets that the caller of a request charges.
func (f *Factors) guesses(ctx context.Context) budget.Guesses {
	kind := budget.SecondFactor
	if caller.From(ctx).Kind == caller.User {
		kind = budget.SecondFactorSignedIn
	}
	return budget.Guesses{DB: f.db, Charger: f.charger, Kind: kind, Limits: f.limits}
}

// Status is the state of a user's second factor.
type Status struct {
	// ActiveSince is nil when the password alone is enough.
	ActiveSince *time.Time `db:"confirmed_at"`
	// RecoveryCodes is the number of unused recovery codes.
	RecoveryCodes int `db:"recovery_codes"`
}

// Status returns the state of a user's second factor. It returns the zero Status when there is none.
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

// Enrolment is the data that the app needs. It is shown once.
type Enrolment struct {
	// Secret is in base32, for typing. URI (otpauth://…) has all data, for a QR code.
	Secret, URI secret.Text
}

// Enrol creates a second factor, which Confirm activates. It replaces a factor that was never confirmed. It returns ErrActive
// when the user has an active factor.
func (f *Factors) Enrol(ctx context.Context, user uuid.UUID, email string) (Enrolment, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: f.issuer, AccountName: email, Period: period})
	if err != nil {
		return Enrolment{}, fmt.Errorf("creating a second factor: %w", err)
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
		return event, oneRow(ErrActive)(tx.ExecContext(ctx, q, user, sealed))
	})
	return Enrolment{secret.New(key.Secret()), secret.New(key.URL())}, err
}

// Remove deletes a user's second factor and its recovery codes, with one of its codes. It returns the errors of Check.
func (f *Factors) Remove(ctx context.Context, user uuid.UUID, code Code) error {
	return f.check(ctx, user, code, true, "second_factor.removed", func(tx *sqlx.Tx) error { return remove(ctx, tx, user) })
}

// remove deletes a user's second factor and its recovery codes. It returns ErrNoFactor.
func remove(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	if err := oneRow(ErrNoFactor)(tx.ExecContext(ctx, `delete from second_factors where user_id = $1`, user)); err != nil {
		return err
	}
	return mail.Notify(ctx, tx, user, mail.FactorRemoved)
}

// oneRow returns a function that checks the result of a statement. The function returns notFound when the statement changed no
// row.
func oneRow(notFound error) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return fmt.Errorf("writing a second factor: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, notFound)
		}
		return nil
	}
}
