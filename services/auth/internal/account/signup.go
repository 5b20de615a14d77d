package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/secret"
)

// Signup registers an address (in lower case) that is still to be confirmed. When it is registered already nothing
// changes, and the answer looks and takes as if it were new: its id is one that nobody has. Either way there is one
// hash, and one transaction that writes.
func (a *Accounts) Signup(ctx context.Context, email string, password secret.Text) (User, error) {
	if err := checkPassword(password, email); err != nil {
		return User{}, err
	}
	release, err := a.pool.Reserve(everyone)
	if err != nil {
		return User{}, err
	}
	defer release()
	hash, err := a.pool.Hash(ctx, canonical(password), "")
	if err != nil {
		return User{}, fmt.Errorf("hashing a password: %w", err)
	}
	user := User{ID: uuid.New(), Email: email}
	err = a.together(ctx, func(tx *sqlx.Tx) error {
		id, err := insertUser(ctx, tx, email, hash)
		switch {
		case errors.Is(err, errTaken):
			return audit.Record(ctx, tx, audit.Event{Action: "signup.repeated"})
		case err != nil:
			return err
		}
		user.ID = id
		return audit.Record(ctx, tx, audit.Event{Action: "user.signup", TargetID: audit.ID(id)})
	})
	if err != nil {
		return User{}, fmt.Errorf("signing up: %w", err)
	}
	return user, nil
}

// errTaken says that an address is registered. It stays in here.
var errTaken = errors.New("the address is registered")

func insertUser(ctx context.Context, tx *sqlx.Tx, email, hash string) (uuid.UUID, error) {
	const q = `insert into users (email, password_hash) values ($1, $2) on conflict do nothing returning id`
	var id uuid.UUID
	err := tx.GetContext(ctx, &id, q, email, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, errTaken
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("inserting a user: %w", err)
	}
	return id, nil
}
