package login

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// What is missing in a step-up.
var (
	ErrPasswordNeeded = fault.New(fault.Invalid, "password_needed", "The password is needed").About("password")
	ErrCodeNeeded     = fault.New(fault.Invalid, "code_needed", "A code of the second factor is needed").About("code")
)

// StepUp proves the caller's session again. A user with a second factor needs a code and may add the password; every other
// user needs the password. Everything that is presented must be right. StepUp returns one of the errors above, mfa.ErrNoFactor,
// and the errors of password.Prove and mfa.Check.
func (l *Logins) StepUp(ctx context.Context, candidate *secret.Text, code *mfa.Code) error {
	who := caller.From(ctx)
	factor, err := l.Factors.Status(ctx, who.ID)
	switch active := factor.ActiveSince != nil; {
	case err != nil:
		return err
	case active && code == nil:
		return ErrCodeNeeded
	case !active && code != nil:
		return mfa.ErrNoFactor
	case !active && candidate == nil:
		return ErrPasswordNeeded
	}
	var methods []string
	if candidate != nil {
		if _, err := l.Passwords.Prove(ctx, "step_up.refused", *candidate); err != nil {
			return err
		}
		methods = append(methods, "pwd")
	}
	if code != nil {
		methods = append(methods, code.Methods()...)
	}
	prove := func(tx *sqlx.Tx) error { return usersession.Prove(ctx, tx, who.SessionID, methods) }
	if code == nil {
		return stores.InTransaction(ctx, l.DB, prove)
	}
	return l.Factors.Check(ctx, who.ID, *code, prove)
}

// ConfirmSecondFactor activates the caller's enrolled second factor with one of its codes, which also proves the session. It
// returns the recovery codes. The user's other sessions end, and logins in progress fail: they began without the factor.
func (l *Logins) ConfirmSecondFactor(ctx context.Context, code mfa.Code) ([]secret.Text, error) {
	who := caller.From(ctx)
	return l.Factors.Confirm(ctx, who.ID, code, func(tx *sqlx.Tx) error {
		if err := password.RenewGeneration(ctx, tx, who.ID); err != nil {
			return err
		}
		if _, err := usersession.EndAll(ctx, tx, who.ID, who.SessionID, usersession.ByUser); err != nil {
			return err
		}
		return usersession.Prove(ctx, tx, who.SessionID, code.Methods())
	})
}
