package account

import (
	"context"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
)

// Why a login was refused, as far as may be told.
var (
	ErrRefused     = fault.New(fault.Unauthenticated, "login_refused", "Wrong email address or password")
	ErrUnconfirmed = fault.New(fault.Unauthenticated, "email_unconfirmed", "The email address is not confirmed yet")
)

// Login signs a user in. It returns ErrRefused for a wrong password and for an address (in lower case) that nobody has,
// after the same work; ErrUnconfirmed, or a Challenge where there is a second factor, only to who knows the password;
// budget.ErrLocked when there were too many wrong ones; and slowhash.ErrBusy when there is no place to hash, after which
// nothing was charged.
func (a *Accounts) Login(ctx context.Context, email string, candidate secret.Text) (SignIn, error) {
	user, compared, right, err := a.guess(ctx, email, candidate)
	switch {
	case err != nil:
		return SignIn{}, err
	case user.ID == uuid.Nil:
		return SignIn{}, a.refuse(ctx, "login.refused", user, "unknown_address", ErrRefused)
	case !right:
		return SignIn{}, a.refuse(ctx, "login.refused", user, "wrong_password", ErrRefused)
	case user.EmailConfirmedAt == nil:
		return SignIn{}, a.refuse(ctx, "login.refused", user, "email_unconfirmed", ErrUnconfirmed)
	}
	factor, err := a.factors.Status(ctx, user.ID)
	if err != nil {
		return SignIn{}, err
	}
	if factor.ActiveSince != nil {
		return SignIn{}, a.challenge(ctx, user.ID, compared.Generation)
	}
	return a.start(as(ctx, user.ID), user, compared.Generation, "pwd")
}
