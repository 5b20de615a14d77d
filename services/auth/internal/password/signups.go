package password

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
)

// maxRepeated is the number of repeated signups that are kept for an address, in addition to the first signup.
const maxRepeated = 9

// ErrOtherSalt means that another signup with the address has stored a salt meanwhile. Call HashSignup again.
var ErrOtherSalt = errors.New("another signup with the address has stored another salt")

// HashSignup returns the stored form of a password that is chosen in a signup with an address (in lower case). All signups with
// an unconfirmed address have one salt, so that Compare hashes a candidate once, however many signups there are. It returns
// slowhash.ErrBusy when the pool has no place.
func (p *Passwords) HashSignup(ctx context.Context, email string, chosen secret.Text) (string, error) {
	place, err := p.pool.Reserve(tenant(ctx))
	if err != nil {
		return "", err
	}
	defer place.Release()
	const q = `select password_hash from users where lower(email) = lower($1) and email_confirmed_at is null`
	var first, hash string
	switch err := p.db.GetContext(ctx, &first, q, email); {
	case errors.Is(err, sql.ErrNoRows):
		hash, err = place.Hash(ctx, canonical(chosen), "")
		if err != nil {
			return "", fmt.Errorf("hashing a password: %w", err)
		}
	case err != nil:
		return "", fmt.Errorf("looking up the first signup: %w", err)
	default:
		hash, err = place.HashLike(ctx, canonical(chosen), first)
		if err != nil {
			return "", fmt.Errorf("hashing a password: %w", err)
		}
	}
	return hash, nil
}

// RepeatSignup stores the password of a repeated signup with an unconfirmed address. The same password as in an earlier signup
// is the same signup. Of more signups, the first and the 9 newest stay. For uuid.Nil it does the same work and stores nothing.
// The caller has locked the user's row. RepeatSignup returns ErrOtherSalt.
func RepeatSignup(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, hash string) error {
	var first string
	err := tx.GetContext(ctx, &first, `select password_hash from users where id = $1`, user)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading the first signup: %w", err)
	}
	if err == nil && !slowhash.Alike(first, hash) {
		return ErrOtherSalt
	}
	for _, q := range []string{
		`insert into repeated_signups (user_id, password_hash) select id, $2 from users where id = $1 and password_hash <> $2
		 on conflict (user_id, password_hash) do update set created_at = now()`,
		`delete from repeated_signups where user_id = $1 and password_hash <> $2 and password_hash not in (
		        select password_hash from repeated_signups where user_id = $1 order by created_at desc, password_hash = $2 desc limit ` + fmt.Sprint(maxRepeated) + `)`,
	} {
		if _, err := tx.ExecContext(ctx, q, user, hash); err != nil {
			return fmt.Errorf("storing a repeated signup: %w", err)
		}
	}
	return nil
}

// HasRepeatedSignups reports whether there was more than one signup with a user's unconfirmed address.
func HasRepeatedSignups(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) (repeated bool, err error) {
	const q = `select exists (select from repeated_signups where user_id = $1)`
	if err := tx.GetContext(ctx, &repeated, q, user); err != nil {
		return false, fmt.Errorf("looking for repeated signups: %w", err)
	}
	return repeated, nil
}

func endRepeatedSignups(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	if _, err := tx.ExecContext(ctx, `delete from repeated_signups where user_id = $1`, user); err != nil {
		return fmt.Errorf("ending repeated signups: %w", err)
	}
	return nil
}
