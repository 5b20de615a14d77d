package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
)

// Why a login was refused, as far as may be told.
var (
	ErrRefused     = fault.New(fault.Unauthenticated, "login_refused", "Wrong email address or password")
	ErrUnconfirmed = fault.New(fault.Unauthenticated, "email_unconfirmed", "The email address is not confirmed yet")
)

// Login signs a user in. It returns ErrRefused for a wrong password and for an address (in lower case) that nobody has,
// after the same work; ErrUnconfirmed, or a Challenge where there is a second factor, only to who knows the password; and
// slowhash.ErrBusy when there is no place to hash.
func (a *Accounts) Login(ctx context.Context, email string, candidate secret.Text) (SignIn, error) {
	release, err := a.pool.Reserve(everyone)
	if err != nil {
		return SignIn{}, err
	}
	defer release()
	user, compared, err := a.credentials(ctx, email)
	unknown := errors.Is(err, errNobody)
	stored := compared.Hash
	if unknown {
		stored = decoy
	} else if err != nil {
		return SignIn{}, err
	}
	right, err := a.pool.Matches(ctx, canonical(candidate), stored)
	if err != nil {
		return SignIn{}, fmt.Errorf("comparing a password: %w", err)
	}
	switch {
	case unknown:
		return SignIn{}, a.refuse(ctx, user.ID, "unknown_address", ErrRefused)
	case !right:
		return SignIn{}, a.refuse(ctx, user.ID, "wrong_password", ErrRefused)
	case user.EmailConfirmedAt == nil:
		return SignIn{}, a.refuse(ctx, user.ID, "email_unconfirmed", ErrUnconfirmed)
	}
	if slowhash.Outdated(stored, "") {
		if err := a.renew(ctx, user.ID, candidate, stored); err != nil {
			return SignIn{}, err
		}
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

// refuse records a refused login, for an unknown address as for a known one, and returns the refusal. Hanging up does not
// keep it off the record.
func (a *Accounts) refuse(ctx context.Context, user uuid.UUID, why string, refusal error) error {
	event := audit.Event{Action: "login.refused", TargetID: audit.ID(user), Details: map[string]any{"why": why}}
	if err := audit.Record(context.WithoutCancel(ctx), a.db, event); err != nil {
		return err
	}
	return refusal
}

// errNobody says that no user has an address. It stays in here.
var errNobody = errors.New("nobody has this address")

// password is what a user's candidate is compared with.
type password struct {
	Hash       string    `db:"password_hash"`
	Generation uuid.UUID `db:"password_generation"`
}

// credentials returns the user with an address and the password, or errNobody.
func (a *Accounts) credentials(ctx context.Context, email string) (User, password, error) {
	const q = `
		select id, email, role, email_confirmed_at, password_hash, password_generation
		  from users where lower(email) = lower($1)`
	var row struct {
		User
		password
	}
	err := a.db.GetContext(ctx, &row, q, email)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, password{}, errNobody
	}
	if err != nil {
		return User{}, password{}, fmt.Errorf("looking up a user: %w", err)
	}
	return row.User, row.password, nil
}
