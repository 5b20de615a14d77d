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
)

// Check judges a code of a user's active second factor. A right one is used up, its attempt and those before it are
// forgiven, and open is done, in one transaction, so that a code opens one thing. It returns ErrWrong, ErrNone,
// budget.ErrLocked, or what open does.
func (f *Factors) Check(ctx context.Context, user uuid.UUID, code Code, open func(tx *sqlx.Tx) error) error {
	return f.check(ctx, user, code, true, "second_factor.proved", open)
}

// check is Check for a factor that is active or is still to be. action is what is recorded of a right code.
func (f *Factors) check(ctx context.Context, user uuid.UUID, code Code, active bool, action string, open func(tx *sqlx.Tx) error) error {
	known, err := f.factor(ctx, user, active)
	if err != nil {
		return err
	}
	if !code.recovery { // which is good even when the key that the secret lies under is lost
		if err := f.unseal(&known); err != nil {
			return err
		}
	}
	attempt, err := f.guesses.Charge(ctx, user.String())
	if err != nil {
		return err
	}
	err = audit.Change(ctx, f.db, func(tx *sqlx.Tx) (audit.Event, error) {
		// First the user's row, as everybody who changes what signs a user in: nobody waits for one another in a circle, and
		// what follows sees what those before did.
		if _, err := tx.ExecContext(ctx, `select from users where id = $1 for no key update`, user); err != nil {
			return audit.Event{}, fmt.Errorf("locking a user: %w", err)
		}
		if err := f.use(ctx, tx, known, code); err != nil {
			return audit.Event{}, err
		}
		if err := f.guesses.Right(ctx, tx, attempt); err != nil {
			return audit.Event{}, err
		}
		return audit.Event{Action: action, TargetID: audit.ID(user), Details: map[string]any{"recovery_code": code.recovery}}, open(tx)
	})
	if errors.Is(err, ErrWrong) {
		return f.refuse(ctx, user, code, attempt)
	}
	return err
}

// factor is what a code is compared with.
type factor struct {
	user   uuid.UUID
	active bool
	sealed []byte
	// secret is in base32.
	secret secret.Text
}

// factor returns a user's, with its secret sealed, or ErrNone.
func (f *Factors) factor(ctx context.Context, user uuid.UUID, active bool) (factor, error) {
	const q = `select secret_sealed from second_factors where user_id = $1 and (confirmed_at is not null) = $2`
	found := factor{user: user, active: active}
	err := f.db.GetContext(ctx, &found.sealed, q, user, active)
	if errors.Is(err, sql.ErrNoRows) {
		return factor{}, ErrNone
	}
	if err != nil {
		return factor{}, fmt.Errorf("looking up a second factor: %w", err)
	}
	return found, nil
}

// unseal fills in the secret, or returns ErrUnknownKey.
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

// use compares a code and uses it up, or returns ErrWrong. Of many that show the same one, one gets through: the others
// wait for the row and then find the code used.
func (f *Factors) use(ctx context.Context, tx *sqlx.Tx, x factor, code Code) error {
	if code.recovery {
		return one(ErrWrong)(tx.ExecContext(ctx, `delete from recovery_codes where user_id = $1 and code_hash = $2`, x.user, code.hash(x.user)))
	}
	step, right, err := code.step(x.secret.Reveal(), f.Now())
	if err != nil {
		return err
	}
	if !right {
		return ErrWrong
	}
	// Another secret in its place, or one that was confirmed meanwhile, is another factor.
	const q = `
		update second_factors set last_step = $2, confirmed_at = coalesce(confirmed_at, now())
		 where user_id = $1 and last_step < $2 and secret_sealed = $3 and (confirmed_at is not null) = $4`
	return one(ErrWrong)(tx.ExecContext(ctx, q, x.user, step, x.sealed, x.active))
}

// refuse records a wrong code and returns ErrWrong. Hanging up does not keep it off the record.
func (f *Factors) refuse(ctx context.Context, user uuid.UUID, code Code, attempt budget.Attempt) error {
	details := map[string]any{"recovery_code": code.recovery, "locked": attempt.LockedFor > 0}
	event := audit.Event{Action: "second_factor.refused", TargetID: audit.ID(user), Details: details}
	if err := audit.Record(context.WithoutCancel(ctx), f.db, event); err != nil {
		return err
	}
	return ErrWrong
}
