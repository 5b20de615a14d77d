package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
)

// ErrPasswordWrong says that who is signed in does not know the password. It is no failure of the session, which stays.
var ErrPasswordWrong = fault.New(fault.Forbidden, "password_wrong", "The password is wrong")

// everyone is the one tenant of the hashing pool: until a password was checked nobody is known to be anybody.
var everyone = uuid.Nil

// decoy is what a password is compared with when nobody has the address, so that this takes as long as when somebody
// does. It costs what a new hash costs, and no password matches it.
var decoy = func() string {
	sum := make([]byte, 48)
	rand.Read(sum)
	text := base64.RawStdEncoding.EncodeToString
	costs := slowhash.CurrentParams
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", costs.MemoryKiB, costs.Passes, costs.Threads, text(sum[:16]), text(sum[16:]))
}()

// canonical returns the bytes of a password that are hashed. What looks the same to its owner is the same, whichever
// keyboard composed it.
func canonical(password secret.Text) []byte { return norm.NFC.Bytes([]byte(password.Reveal())) }

// hash hashes a new password. It returns slowhash.ErrBusy when the pool has no place.
func (a *Accounts) hash(ctx context.Context, password secret.Text) (string, error) {
	hash, err := a.pool.Hash(ctx, everyone, canonical(password), "")
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// renew stores a password again, hashed with the current parameters, unless the password was changed meanwhile. The password
// stays the same, so its generation stays too.
func (a *Accounts) renew(ctx context.Context, place slowhash.Place, user uuid.UUID, password secret.Text, stored string) error {
	fresh, err := place.Hash(ctx, canonical(password), "")
	if err != nil {
		return fmt.Errorf("hashing a password again: %w", err)
	}
	const q = `update users set password_hash = $3 where id = $1 and password_hash = $2`
	if _, err := a.db.ExecContext(ctx, q, user, stored, fresh); err != nil {
		return fmt.Errorf("renewing a password hash: %w", err)
	}
	return nil
}

// provePassword checks that the candidate is the signed-in user's password, and returns that password. Otherwise it records
// that this action was refused. It returns ErrPasswordWrong, budget.ErrLocked, slowhash.ErrBusy, or caller.ErrInvalid when
// the user was deleted meanwhile.
func (a *Accounts) provePassword(ctx context.Context, action string, candidate secret.Text) (password, error) {
	who := caller.From(ctx)
	user, compared, right, err := a.guess(ctx, who.Email, candidate)
	switch {
	case err != nil:
		return password{}, err
	case user.ID != who.ID:
		return password{}, caller.ErrInvalid
	case !right:
		return password{}, a.refuse(ctx, action, user, "wrong_password", ErrPasswordWrong)
	}
	return compared, nil
}

// ChangePassword gives the user who is signed in another password and ends the user's other sessions. It returns what is wrong
// with the new one, what is wrong with the current one as provePassword does, or slowhash.ErrBusy.
func (a *Accounts) ChangePassword(ctx context.Context, current, next secret.Text) error {
	who := caller.From(ctx)
	if err := checkPassword(next, "new_password", who.Email); err != nil {
		return err
	}
	compared, err := a.provePassword(ctx, "password.refused", current)
	if err != nil {
		return err
	}
	hash, err := a.hash(ctx, next)
	if err != nil {
		return err
	}
	return audit.Change(ctx, a.db, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `select exists (select from users where id = $1 and password_generation = $2 for update)`
		var still bool
		if err := tx.GetContext(ctx, &still, q, who.ID, compared.Generation); err != nil {
			return audit.Event{}, fmt.Errorf("holding a user: %w", err)
		}
		if !still {
			return audit.Event{}, ErrPasswordWrong // it was replaced meanwhile
		}
		return audit.Event{Action: "password.changed", TargetID: audit.ID(who.ID)}, setPassword(ctx, tx, who.ID, who.Email, hash, who.SessionID)
	})
}

// setPassword stores the hash of a user's new password, renews the guess budget of the user's address, and ends every session
// of the user except keep. keep may be uuid.Nil.
func setPassword(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, email, hash string, keep uuid.UUID) error {
	const set = `update users set password_hash = $2, password_generation = gen_random_uuid(), updated_at = now() where id = $1`
	if _, err := tx.ExecContext(ctx, set, user, hash); err != nil {
		return fmt.Errorf("setting a password: %w", err)
	}
	const end = `
		update user_sessions set revoked_at = now(), revoked_why = 'password'
		 where user_id = $1 and id <> $2 and revoked_at is null`
	if _, err := tx.ExecContext(ctx, end, user, keep); err != nil {
		return fmt.Errorf("ending the sessions of an old password: %w", err)
	}
	return budget.Guesses{Kind: budget.Password}.Renew(ctx, tx, email)
}
