package budget

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/stores"
)

// Why a budget allows no attempt. The ErrLocked that Charge returns contains the time to wait. After ErrUsedUp, waiting does not
// help: the secret must be set again.
var (
	ErrLocked = fault.New(fault.RateLimited, "guesses_locked", "Too many wrong guesses, try again later")
	ErrUsedUp = fault.New(fault.RateLimited, "guesses_used_up", "Too many wrong guesses: waiting does not help, a reset is needed")
)

// Kind is the kind of a guessed secret, and of the callers that share a budget.
type Kind string

// The kinds whose budgets are in the table guess_budgets. The budget of a PIN is in the PIN's row.
const (
	// Password is for logins from networks that are not known. The subject is the address.
	Password Kind = "password"
	// PasswordKnownNetwork is for logins from a network from which the user signed in before.
	PasswordKnownNetwork Kind = "password_known_network"
	// PasswordSignedIn is for callers who are signed in and prove the password again. The subject is the user's id.
	PasswordSignedIn Kind = "password_signed_in"
	// SecondFactor is for codes at a sign-in, and SecondFactorSignedIn for codes of callers who are signed in. The subject is the
	// user's id.
	SecondFactor         Kind = "second_factor"
	SecondFactorSignedIn Kind = "second_factor_signed_in"
)

// chargeTime limits a charge. A client that disconnects does not cancel it. It is long enough for the row's turn, a probe and the
// statement, so that Postgres or the connection's deadline ends a slow statement first.
const chargeTime = stores.LockTimeout + probeTime + stores.AnswerTimeout

// Guesses charges and settles attempts at secrets of one kind.
type Guesses struct {
	DB      *sqlx.DB
	Charger *Charger
	Kind    Kind
	Limits  Limits
}

// Attempt is one charged attempt.
type Attempt struct {
	subject [sha256.Size]byte
	Number  int64 `db:"number"`
	// LockedFor is the length of the lock that this attempt wrote. It is zero if the budget allows further attempts.
	LockedFor time.Duration
	// UsedUp is true when no attempt is left until the secret is set again.
	UsedUp bool `db:"used_up"`
}

// testdata/charge.sql shows the complete statement.
const chargeSQL = `
	insert into guess_budgets as h (subject, kind, ` + Marks + `)
	select $1, $6, first.*
	  from (values (0::bigint, 0::bigint, 0::bigint, 0, 0::bigint, null::timestamptz, null::bigint))
	       h (charged, forgiven, window_start, locks, locked_by, locked_until, deactivated_by),
	       lateral (
	           select ` + Charged + `
	             from ` + Next + `) first
	on conflict (subject) do update
	       set (` + Marks + `, charged_at) = (
	           select ` + Charged + `,
	                  now()
	             from ` + Next + `)
	 where ` + Allows + `
	returning charged as number, ` + state

// Charge charges one attempt at the secret of a subject, whether or not the subject exists, in a transaction of its own. A
// client that disconnects does not cancel it. It returns ErrLocked or ErrUsedUp if the budget allows no attempt; then nothing was
// charged. It also returns the errors of Charger.Charge. A first attempt and a later attempt run the same statement, so the time
// that Charge takes does not reveal whether there were attempts before.
func (g Guesses) Charge(ctx context.Context, subject string) (Attempt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chargeTime)
	defer cancel()
	a := Attempt{subject: g.row(subject)}
	var row struct {
		Attempt
		Seconds float64 `db:"locked_for"`
	}
	args := append([]any{a.subject[:]}, g.Limits.Args()...)
	err := g.Charger.Charge(ctx, string(a.subject[:]), func(ctx context.Context) error {
		return g.DB.GetContext(ctx, &row, chargeSQL, append(args, g.Kind)...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Attempt{}, g.refusal(ctx, a)
	}
	if err != nil {
		return Attempt{}, fmt.Errorf("charging a guess: %w", err)
	}
	a.Number, a.UsedUp, a.LockedFor = row.Number, row.UsedUp, time.Duration(row.Seconds*float64(time.Second))
	return a, nil
}

const state = `coalesce(greatest(extract(epoch from locked_until - now()), 0), 0)::float8 as locked_for, deactivated_by is not null as used_up`

// refusal returns ErrUsedUp, or ErrLocked with the remaining time of the lock.
func (g Guesses) refusal(ctx context.Context, a Attempt) error {
	const q = `select ` + state + ` from guess_budgets where subject = $1`
	var row struct {
		Seconds float64 `db:"locked_for"`
		UsedUp  bool    `db:"used_up"`
	}
	if err := g.DB.GetContext(ctx, &row, q, a.subject[:]); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading a guess budget: %w", err)
	}
	if row.UsedUp {
		return ErrUsedUp
	}
	return ErrLocked.RetryAfter(max(time.Second, time.Duration(row.Seconds*float64(time.Second))))
}

// testdata/forgive.sql shows the complete statement.
const forgiveSQL = `
	update guess_budgets h
	       set ` + Forgiven + `
	 where h.subject = $1`

// SettleRight settles an attempt as right: it forgives the attempts up to this one. Later attempts stay charged. db may be a
// transaction. A wrong attempt needs no settling, because a charged attempt counts as a failure from the start.
func (g Guesses) SettleRight(ctx context.Context, db sqlx.ExecerContext, a Attempt) error {
	if _, err := db.ExecContext(ctx, forgiveSQL, a.subject[:], a.Number); err != nil {
		return fmt.Errorf("forgiving guesses: %w", err)
	}
	return nil
}

// Renew renews the budget of a subject, in the transaction that sets its secret again.
func (g Guesses) Renew(ctx context.Context, tx sqlx.ExecerContext, subject string) error {
	const q = `
		update guess_budgets
		   set forgiven = charged, window_start = charged, locks = 0, locked_until = null, deactivated_by = null
		 where subject = $1`
	row := g.row(subject)
	if _, err := tx.ExecContext(ctx, q, row[:]); err != nil {
		return fmt.Errorf("renewing a guess budget: %w", err)
	}
	return nil
}

// Forget deletes the budget of a subject, in the transaction that deletes the subject.
func (g Guesses) Forget(ctx context.Context, tx sqlx.ExecerContext, subject string) error {
	row := g.row(subject)
	if _, err := tx.ExecContext(ctx, `delete from guess_budgets where subject = $1`, row[:]); err != nil {
		return fmt.Errorf("deleting a guess budget: %w", err)
	}
	return nil
}

// row returns the key of a subject's row. It is not a keyed hash, because a new key would renew every budget.
func (g Guesses) row(subject string) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(g.Kind) + "\x00" + subject))
}
