package login

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// Why a login with a second factor is not complete.
var (
	ErrSecondFactor     = fault.New(fault.Unauthenticated, "second_factor_needed", "A second factor is needed")
	ErrChallengeInvalid = fault.New(fault.Unauthenticated, "challenge_over", "The sign-in took too long or was completed already: enter the password again")
	// ErrCodeWrong is mfa.ErrWrong for a caller who is not signed in.
	ErrCodeWrong = fault.New(fault.Unauthenticated, mfa.ErrWrong.Code, mfa.ErrWrong.Text)
)

// Challenge is what a user with a second factor gets for the right password. It is an error that wraps ErrSecondFactor, because
// the user is not signed in yet.
type Challenge struct {
	// Token names the unfinished login. It is sent with the code, and gives access to nothing else.
	Token     token.Token
	ExpiresAt time.Time
}

func (c *Challenge) Error() string { return ErrSecondFactor.Error() }
func (c *Challenge) Unwrap() error { return ErrSecondFactor }

// challengeLifetime is how long the user has to enter a code.
const challengeLifetime = 5 * time.Minute

// challenge returns a new Challenge for the right password that was compared.
func (l *Logins) challenge(ctx context.Context, compared password.Comparison) error {
	user := compared.User.ID
	c := &Challenge{Token: token.New(token.Challenge)}
	err := audit.Change(ctx, l.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `
			with expired as (
				delete from login_challenges where user_id = $2 and expires_at <= now()
			)
			insert into login_challenges (token_hash, user_id, password_generation, expires_at)
			values ($1, $2, $3, now() + make_interval(secs => $4)) returning expires_at`
		if err := tx.GetContext(ctx, &c.ExpiresAt, q, c.Token.Hash(), user, compared.Generation, challengeLifetime.Seconds()); err != nil {
			return audit.Event{}, fmt.Errorf("inserting a challenge: %w", err)
		}
		return audit.Event{Action: "login.challenged", TargetID: audit.ID(user)}, nil
	})
	if err != nil {
		return err
	}
	return c
}

// Answer completes a login with a code of the second factor. It returns ErrChallengeInvalid for a challenge that is unknown,
// expired, used, or older than the user's password. It returns ErrCodeWrong for a wrong code; the challenge then stays valid. It
// also returns budget.ErrLocked and mfa.ErrUnknownKey.
func (l *Logins) Answer(ctx context.Context, presented secret.Text, code mfa.Code) (usersession.Tokens, error) {
	challenge, err := token.Parse(token.Challenge, presented.Reveal(), 0)
	if err != nil {
		return usersession.Tokens{}, ErrChallengeInvalid
	}
	user, generation, err := l.findChallenge(ctx, challenge)
	if err != nil {
		return usersession.Tokens{}, err
	}
	session, err := l.Sessions.Prepare(ctx, user, generation, append([]string{"pwd"}, code.Methods()...)...)
	if err != nil {
		return usersession.Tokens{}, err
	}
	err = l.Factors.Check(ctx, user.ID, code, func(tx *sqlx.Tx) error {
		if err := useChallenge(ctx, tx, challenge); err != nil {
			return err
		}
		return l.open(caller.ActingAs(ctx, user.ID), tx, session)
	})
	switch {
	case errors.Is(err, mfa.ErrWrong):
		return usersession.Tokens{}, ErrCodeWrong
	case errors.Is(err, mfa.ErrNoFactor), errors.Is(err, usersession.ErrPasswordReplaced): // changed by another request
		return usersession.Tokens{}, ErrChallengeInvalid
	case err != nil:
		return usersession.Tokens{}, fmt.Errorf("answering a challenge: %w", err)
	}
	return session.Tokens, nil
}

// findChallenge returns the user of a challenge, and the generation of the password that was compared, or ErrChallengeInvalid.
func (l *Logins) findChallenge(ctx context.Context, challenge token.Token) (usersession.User, uuid.UUID, error) {
	const q = `
		select u.id, u.email, u.role, u.email_confirmed_at, u.password_generation
		  from login_challenges c join users u on u.id = c.user_id and u.password_generation = c.password_generation
		 where c.token_hash = $1 and c.expires_at > now()`
	var row struct {
		usersession.User
		Generation uuid.UUID `db:"password_generation"`
	}
	err := l.DB.GetContext(ctx, &row, q, challenge.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return usersession.User{}, uuid.Nil, ErrChallengeInvalid
	}
	if err != nil {
		return usersession.User{}, uuid.Nil, fmt.Errorf("looking up a challenge: %w", err)
	}
	return row.User, row.Generation, nil
}

// useChallenge deletes the challenge, or returns ErrChallengeInvalid.
func useChallenge(ctx context.Context, tx *sqlx.Tx, challenge token.Token) error {
	const q = `delete from login_challenges where token_hash = $1 and expires_at > now()`
	result, err := tx.ExecContext(ctx, q, challenge.Hash())
	if err != nil {
		return fmt.Errorf("using a challenge: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrChallengeInvalid)
	}
	return nil
}
