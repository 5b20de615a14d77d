package mfa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/mail"
)

// Check charges an attempt and compares a code with a user's active second factor. For a right code it runs do, makes the code
// invalid and forgives the attempts, in one transaction, so that a code is used once. It returns ErrWrong, ErrNoFactor,
// ErrUnknownKey, ErrUsedUp, budget.ErrLocked, or the error of do.
func (f *Factors) Check(ctx context.Context, user uuid.UUID, code Code, do func(tx *sqlx.Tx) error) error {
	return f.check(ctx, user, code, true, "second_factor.proved", do)
}

// check is Check for an active factor, or for one that is not confirmed yet. A right code is recorded under action.
func (f *Factors) check(ctx context.Context, user uuid.UUID, code Code, active bool, action string, do func(tx *sqlx.Tx) error) error {
	known, err := f.factor(ctx, user, active)
	if err != nil {
		return err
	}
	if !code.recovery { // a recovery code needs no key
		if err := f.unseal(&known); err != nil {
			return err
		}
	}
	guesses := f.guesses(ctx)
	attempt, err := guesses.Charge(ctx, user.String())
	if errors.Is(err, budget.ErrUsedUp) {
		return ErrUsedUp
	}
	if err != nil {
		return err
	}
	err = audit.Change(ctx, f.db, func(tx *sqlx.Tx) (audit.Event, error) {
		// Every transaction that changes a user's password, sessions or factors locks the user's row first. So they cannot
		// deadlock, and the next statements see the changes of the previous transaction.
		if _, err := tx.ExecContext(ctx, `select from users where id = $1 for no key update`, user); err != nil {
			return audit.Event{}, fmt.Errorf("locking a user: %w", err)
		}
		if err := f.use(ctx, tx, known, code); err != nil {
			return audit.Event{}, err
		}
		if err := guesses.SettleRight(ctx, tx, attempt); err != nil {
			return audit.Event{}, err
		}
		if code.recovery {
			if err := mail.Notify(ctx, tx, user, mail.RecoveryCodeUsed); err != nil {
				return audit.Event{}, err
			}
		}
		return audit.Event{Action: action, TargetID: audit.ID(user), Details: map[string]any{"recovery_code": code.recovery}}, do(tx)
	})
	if errors.Is(err, ErrWrong) {
		err = f.refuse(ctx, user, code, attempt)
	}
	return budget.WithoutOutcome(err)
}

// factor is the second factor of a user.
type factor struct {
	user   uuid.UUID
	active bool
	sealed []byte
	// secret is in base32.
	secret secret.Text
}

// factor returns a user's factor without its secret, or ErrNoFactor.
func (f *Factors) factor(ctx context.Context, user uuid.UUID, active bool) (factor, error) {
	const q = `select secret_sealed from second_factors where user_id = $1 and (confirmed_at is not null) = $2`
	found := factor{user: user, active: active}
	err := f.db.GetContext(ctx, &found.sealed, q, user, active)
	if errors.Is(err, sql.ErrNoRows) {
		return factor{}, ErrNoFactor
	}
	if err != nil {
		return factor{}, fmt.Errorf("looking up a second factor: %w", err)
	}
	return found, nil
}

// unseal opens the secret, or returns ErrUnknownKey.
func (f *Factors) unseal(x *factor) error {
	plain, err := f.ring.Open(keyring.SecondFactors, x.user.String(), x.sealed)
	if errors.Is(err, keyring.ErrUnknownKey) {
		return ErrUnknownKey
	}
	if err != nil {
		return fmt.Errorf("opening a second factor: %w", err)
	}
	x.secret = secret.New(string(plain))
	return nil
}

// use compares a code and makes it invalid, or returns ErrWrong. When several requests present the same code, one succeeds. The
// others wait for the row lock and then find that the code was used.
func (f *Factors) use(ctx context.Context, tx *sqlx.Tx, x factor, code Code) error {
	if code.recovery {
		return oneRow(ErrWrong)(tx.ExecContext(ctx, `delete from recovery_codes where user_id = $1 and code_hash = $2`, x.user, code.hash(x.user)))
	}
	step, right, err := code.step(x.secret.Reveal(), f.Now())
	if err != nil {
		return err
	}
	if !right {
		return ErrWrong
	}
	// The factor must still be the one that was read: not replaced, and not confirmed meanwhile.
	const q = `
		update second_factors set last_step = $2, confirmed_at = coalesce(confirmed_at, now())
		 where user_id = $1 and last_step < $2 and secret_sealed = $3 and (confirmed_at is not null) = $4`
	return oneRow(ErrWrong)(tx.ExecContext(ctx, q, x.user, step, x.sealed, x.active))
}

// refuse records a wrong code and returns ErrWrong.
func (f *Factors) refuse(ctx context.Context, user uuid.UUID, code Code, attempt budget.Attempt) error {
	details := map[string]any{"recovery_code": code.recovery, "locked": attempt.LockedFor > 0, "used_up": attempt.UsedUp}
	event := audit.Event{Action: "second_factor.refused", TargetID: audit.ID(user), Details: details}
	return audit.RecordRefusal(ctx, f.db, event, ErrWrong)
}
