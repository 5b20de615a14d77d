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
)

// ErrLocked says that the budget allows no further attempt now. It advises how long to wait.
var ErrLocked = fault.New(fault.RateLimited, "guesses_locked", "Too many wrong guesses, try again later")

// Kind is what is guessed at.
type Kind string

// The secrets whose budgets lie in a table of their own; a PIN's lies beside the PIN.
const (
	Password     Kind = "password"
	SecondFactor Kind = "second_factor"
)

// chargeTime bounds a charge, which a client that hangs up does not cancel.
const chargeTime = 5 * time.Second

// Guesses charges attempts at secrets of one kind.
type Guesses struct {
	DB     *sqlx.DB
	Kind   Kind
	Limits Limits
}

// Attempt is one guess that was charged and is still to be judged.
type Attempt struct {
	subject [sha256.Size]byte
	Number  int64 `db:"number"`
	// LockedFor is how long nobody may guess again if this one is wrong; zero while attempts are left.
	LockedFor time.Duration
}

// chargeSQL is complete in testdata/charge.sql.
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
	returning charged as number, ` + lockedFor

// Charge spends one attempt at the secret of subject, whether or not there is such a secret: a statement in a transaction
// of its own, which hanging up does not cancel. It returns ErrLocked when none is left, and nothing was charged then. The
// first attempt at a secret is one statement too: nobody can tell by the time it takes whether there were others before.
func (g Guesses) Charge(ctx context.Context, subject string) (Attempt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chargeTime)
	defer cancel()
	a := Attempt{subject: g.row(subject)}
	var row struct {
		Attempt
		Seconds float64 `db:"locked_for"`
	}
	args := append([]any{a.subject[:]}, g.Limits.Args()...)
	err := g.DB.GetContext(ctx, &row, chargeSQL, append(args, g.Kind)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Attempt{}, g.locked(ctx, a)
	}
	if err != nil {
		return Attempt{}, fmt.Errorf("charging a guess: %w", err)
	}
	a.Number, a.LockedFor = row.Number, time.Duration(row.Seconds*float64(time.Second))
	return a, nil
}

const lockedFor = `coalesce(greatest(extract(epoch from locked_until - now()), 0), 0)::float8 as locked_for`

// locked is ErrLocked with how long it lasts.
func (g Guesses) locked(ctx context.Context, a Attempt) error {
	const q = `select ` + lockedFor + ` from guess_budgets where subject = $1`
	var seconds float64
	if err := g.DB.GetContext(ctx, &seconds, q, a.subject[:]); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading a guess budget: %w", err)
	}
	return ErrLocked.RetryAfter(max(time.Second, time.Duration(seconds*float64(time.Second))))
}

// forgiveSQL is complete in testdata/forgive.sql.
const forgiveSQL = `
	update guess_budgets h
	       set ` + Forgiven + `
	 where h.subject = $1`

// Right forgives the attempts up to this one, in db, which may be the transaction of what it opens. Later ones stay
// charged. An attempt that is never called right is a failure: there is nothing to write for a wrong one.
func (g Guesses) Right(ctx context.Context, db sqlx.ExecerContext, a Attempt) error {
	if _, err := db.ExecContext(ctx, forgiveSQL, a.subject[:], a.Number); err != nil {
		return fmt.Errorf("forgiving guesses: %w", err)
	}
	return nil
}

// Renew begins the budget of subject anew, in the transaction that sets its secret anew.
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

// Forget removes up to 1000 budgets at which nobody has guessed for a day, so that made-up subjects do not fill the table. It
// is for kinds without an end alone: a budget that is begun anew after so long lets nobody guess more often than its locks do.
func (g Guesses) Forget(ctx context.Context) error {
	const q = `
		delete from guess_budgets where subject in (
			select subject from guess_budgets
			 where kind = $1 and charged_at < now() - interval '1 day' and (locked_until is null or locked_until < now() - interval '1 day')
			 order by charged_at limit 1000 for update skip locked)`
	if _, err := g.DB.ExecContext(ctx, q, g.Kind); err != nil {
		return fmt.Errorf("forgetting guess budgets: %w", err)
	}
	return nil
}

// row is the subject's name in the table. It is no keyed hash: a key that is replaced would renew every budget.
func (g Guesses) row(subject string) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(g.Kind) + "\x00" + subject))
}
