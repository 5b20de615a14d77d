package mfa

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/mail"
)

// recoveryCodes is the number of recovery codes of a user.
const recoveryCodes = 10

// Confirm activates an enrolled factor with one of its codes, and runs do in the same transaction. It returns the recovery
// codes, which are shown once, or the errors of Check.
func (f *Factors) Confirm(ctx context.Context, user uuid.UUID, code Code, do func(tx *sqlx.Tx) error) (codes []secret.Text, err error) {
	err = f.check(ctx, user, code, false, "second_factor.confirmed", func(tx *sqlx.Tx) error {
		if codes, err = replaceCodes(ctx, tx, user); err != nil {
			return err
		}
		if err := mail.Notify(ctx, tx, user, mail.FactorAdded); err != nil {
			return err
		}
		return do(tx)
	})
	return codes, err
}

// RenewRecoveryCodes replaces a user's recovery codes, with a code. It returns the new codes, which are shown once, or the errors
// of Check.
func (f *Factors) RenewRecoveryCodes(ctx context.Context, user uuid.UUID, code Code) (codes []secret.Text, err error) {
	err = f.check(ctx, user, code, true, "recovery_codes.replaced", func(tx *sqlx.Tx) error {
		if codes, err = replaceCodes(ctx, tx, user); err != nil {
			return err
		}
		return mail.Notify(ctx, tx, user, mail.RecoveryCodesReplaced)
	})
	return codes, err
}

func replaceCodes(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) ([]secret.Text, error) {
	codes, hashes := make([]secret.Text, recoveryCodes), make(pq.ByteaArray, recoveryCodes)
	for i := range codes {
		codes[i] = newRecoveryCode()
		code, err := ParseCode(codes[i])
		if err != nil {
			return nil, err
		}
		hashes[i] = code.hash(user)
	}
	if _, err := tx.ExecContext(ctx, `delete from recovery_codes where user_id = $1`, user); err != nil {
		return nil, fmt.Errorf("removing the old recovery codes: %w", err)
	}
	const q = `insert into recovery_codes (user_id, code_hash) select $1, unnest($2::bytea[])`
	if _, err := tx.ExecContext(ctx, q, user, hashes); err != nil {
		return nil, fmt.Errorf("inserting recovery codes: %w", err)
	}
	return codes, nil
}
