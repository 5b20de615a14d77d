package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

// Why a sign-in with a second factor is not done.
var (
	ErrSecondFactor  = fault.New(fault.Unauthenticated, "second_factor_needed", "A second factor is needed")
	ErrChallengeOver = fault.New(fault.Unauthenticated, "challenge_over", "The sign-in took too long or was done already: begin with the password again")
	// ErrCodeWrong is mfa.ErrWrong to who is not signed in.
	ErrCodeWrong = fault.New(fault.Unauthenticated, mfa.ErrWrong.Code, mfa.ErrWrong.Text)
)

// Challenge is what a right password gets where there is a second factor: an error, ErrSecondFactor, since nobody is signed
// in yet.
type Challenge struct {
	// Token is to be shown together with a code. It names the sign-in that is half done, and opens nothing by itself.
	Token     token.Token
	ExpiresAt time.Time
}

func (c *Challenge) Error() string { return ErrSecondFactor.Error() }
func (c *Challenge) Unwrap() error { return ErrSecondFactor }

// challengeTime is how long a right password waits for a code.
const challengeTime = 5 * time.Minute

// challenge returns a new Challenge for a user whose password of this generation was right.
func (a *Accounts) challenge(ctx context.Context, user, password uuid.UUID) error {
	c := &Challenge{Token: token.New(token.Challenge)}
	err := audit.Change(ctx, a.db, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `
			with expired as (
				delete from login_challenges where user_id = $2 and expires_at <= now()
			)
			insert into login_challenges (token_hash, user_id, password_generation, expires_at)
			values ($1, $2, $3, now() + make_interval(secs => $4)) returning expires_at`
		if err := tx.GetContext(ctx, &c.ExpiresAt, q, c.Token.Hash(), user, password, challengeTime.Seconds()); err != nil {
			return audit.Event{}, fmt.Errorf("inserting a challenge: %w", err)
		}
		return audit.Event{Action: "login.challenged", TargetID: audit.ID(user)}, nil
	})
	if err != nil {
		return err
	}
	return c
}

// Answer finishes a sign-in with a code of the second factor. It returns ErrChallengeOver for a challenge that is unknown,
// expired, used, or older than the user's password; ErrCodeWrong, after which the challenge goes on; and budget.ErrLocked.
func (a *Accounts) Answer(ctx context.Context, presented secret.Text, code mfa.Code) (SignIn, error) {
	challenge, err := token.Parse(token.Challenge, presented.Reveal(), 0)
	if err != nil {
		return SignIn{}, ErrChallengeOver
	}
	user, password, err := a.challenged(ctx, challenge)
	if err != nil {
		return SignIn{}, err
	}
	session, methods := uuid.New(), append([]string{"pwd"}, code.Methods()...)
	signIn, err := a.issue(ctx, user, session, methods, token.New(token.Refresh))
	if err != nil {
		return SignIn{}, err
	}
	err = a.factors.Check(ctx, user.ID, code, func(tx *sqlx.Tx) error {
		if err := useChallenge(ctx, tx, challenge); err != nil {
			return err
		}
		return a.open(as(ctx, user.ID), tx, session, signIn, password, methods)
	})
	switch {
	case errors.Is(err, mfa.ErrWrong):
		return SignIn{}, ErrCodeWrong
	case errors.Is(err, mfa.ErrNone), errors.Is(err, ErrRefused): // the factor was removed, or the password changed, just now
		return SignIn{}, ErrChallengeOver
	case err != nil:
		return SignIn{}, fmt.Errorf("answering a challenge: %w", err)
	}
	return signIn, nil
}

// challenged returns who is to answer a challenge, and the generation of the password that was right, or ErrChallengeOver.
func (a *Accounts) challenged(ctx context.Context, challenge token.Token) (User, uuid.UUID, error) {
	const q = `
		select u.id, u.email, u.role, u.email_confirmed_at, u.password_generation
		  from login_challenges c join users u on u.id = c.user_id and u.password_generation = c.password_generation
		 where c.token_hash = $1 and c.expires_at > now()`
	var row struct {
		User
		Password uuid.UUID `db:"password_generation"`
	}
	err := a.db.GetContext(ctx, &row, q, challenge.Hash())
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, uuid.Nil, ErrChallengeOver
	}
	if err != nil {
		return User{}, uuid.Nil, fmt.Errorf("looking up a challenge: %w", err)
	}
	return row.User, row.Password, nil
}

// useChallenge uses it up, or returns ErrChallengeOver.
func useChallenge(ctx context.Context, tx *sqlx.Tx, challenge token.Token) error {
	const q = `delete from login_challenges where token_hash = $1 and expires_at > now()`
	result, err := tx.ExecContext(ctx, q, challenge.Hash())
	if err != nil {
		return fmt.Errorf("using a challenge up: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrChallengeOver)
	}
	return nil
}
