package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

// Why a step-up is refused.
var (
	ErrPasswordNeeded = fault.New(fault.Invalid, "password_needed", "The password is needed").About("password")
	ErrCodeNeeded     = fault.New(fault.Invalid, "code_needed", "A code of the second factor is needed").About("code")
)

// StepUp proves the caller's session again: with the password, and where there is a second factor with a code of that, with
// or without the password. All that is shown has to be right. It returns one of the errors above, ErrPasswordWrong,
// mfa.ErrWrong, mfa.ErrNone, budget.ErrLocked, or slowhash.ErrBusy when there is no place to hash.
func (a *Accounts) StepUp(ctx context.Context, password *secret.Text, code *mfa.Code) error {
	who := caller.From(ctx)
	factor, err := a.factors.Status(ctx, who.ID)
	switch active := factor.ActiveSince != nil; {
	case err != nil:
		return err
	case active && code == nil:
		return ErrCodeNeeded
	case !active && code != nil:
		return mfa.ErrNone
	case !active && password == nil:
		return ErrPasswordNeeded
	}
	var methods []string
	if password != nil {
		if _, err := a.provePassword(ctx, "step_up.refused", *password); err != nil {
			return err
		}
		methods = append(methods, "pwd")
	}
	if code == nil {
		return a.together(ctx, func(tx *sqlx.Tx) error { return prove(ctx, tx, who.SessionID, methods) })
	}
	methods = append(methods, code.Methods()...)
	return a.factors.Check(ctx, who.ID, *code, func(tx *sqlx.Tx) error { return prove(ctx, tx, who.SessionID, methods) })
}

// ConfirmSecondFactor makes the caller's enrolled second factor active, for a code of it, which proves the session too. It
// returns the recovery codes. The user's other sessions end: they began with less than is asked for from now on.
func (a *Accounts) ConfirmSecondFactor(ctx context.Context, code mfa.Code) ([]secret.Text, error) {
	who := caller.From(ctx)
	return a.factors.Confirm(ctx, who.ID, code, func(tx *sqlx.Tx) error {
		// A password that was right before, when it was enough, opens no session behind our back.
		if _, err := tx.ExecContext(ctx, `update users set password_generation = gen_random_uuid() where id = $1`, who.ID); err != nil {
			return fmt.Errorf("renewing a password's generation: %w", err)
		}
		const q = `update user_sessions set revoked_at = now(), revoked_why = 'user' where user_id = $1 and revoked_at is null and id <> $2`
		if _, err := tx.ExecContext(ctx, q, who.ID, who.SessionID); err != nil {
			return fmt.Errorf("ending the other sessions: %w", err)
		}
		return prove(ctx, tx, who.SessionID, code.Methods())
	})
}

// prove notes that a session was proved just now, by these methods too. It returns caller.ErrInvalid when the session has
// ended meanwhile.
func prove(ctx context.Context, tx *sqlx.Tx, session uuid.UUID, methods []string) error {
	const q = `
		update user_sessions set proved_at = now(), amr = amr || array(select m from unnest($2::text[]) m where m <> all (amr))
		 where id = $1 and revoked_at is null and expires_at > now()`
	result, err := tx.ExecContext(ctx, q, session, pq.StringArray(methods))
	if err != nil {
		return fmt.Errorf("proving a session: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, caller.ErrInvalid)
	}
	return audit.Record(ctx, tx, audit.Event{Action: "session.proved", TargetID: audit.ID(session), Details: map[string]any{"amr": methods}})
}
