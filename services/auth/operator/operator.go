// Package operator has the operations of auth for the operator's command: on users and second factors, on the keys that sign
// access tokens, and on the values that are sealed under AUTH_KEYS. It calls the same code as the HTTP API, so that the same rules
// apply and the same audit rows are written. The caller in the context is the actor of these audit rows.
//
// Every function takes a connection that may read and write all tables of auth.
package operator

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/kyc"
	"github.com/countersign/countersign/services/auth/internal/mail"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

// The roles of users.
const (
	Admin = "admin"
	User  = "user"
)

// ErrNoUser says that no user has this address.
var ErrNoUser = account.ErrNoUser

// ErrNotRejected says that a vendor does not reject a user.
var ErrNotRejected = kyc.ErrNotRejected

// PutUser creates the user with this address, unless the user exists, sets the role and marks the address as confirmed. It also
// sets the password. If password is empty, a user whose address was already confirmed keeps the password, and every other user
// gets a random password, which PutUser returns. A new password ends all sessions of the user. The error is directory.ErrEmail,
// or the reason why auth refuses this password at a signup.
func PutUser(ctx context.Context, db *sqlx.DB, email, role string, password secret.Text) (generated secret.Text, err error) {
	address, err := directory.ParseEmail(email)
	if err != nil {
		return secret.Text{}, err
	}
	return account.PutUser(ctx, db, slowhash.NewPool(1, 2), address, role, password)
}

// UserID returns the id of the user with this address. The error is directory.ErrEmail or ErrNoUser.
func UserID(ctx context.Context, db *sqlx.DB, email string) (uuid.UUID, error) {
	address, err := directory.ParseEmail(email)
	if err != nil {
		return uuid.Nil, err
	}
	user, err := account.FindUser(ctx, db, address)
	return user.ID, err
}

// ResetSecondFactor removes the second factor of the user with this address. After that the password alone is enough to sign in.
// The error is directory.ErrEmail, ErrNoUser, or says that there is no second factor.
func ResetSecondFactor(ctx context.Context, db *sqlx.DB, email string) error {
	user, err := UserID(ctx, db, email)
	if err != nil {
		return err
	}
	return mfa.Reset(ctx, db, user)
}

// ResolveKYC makes a vendor's rejection of the user with this address count no more. The error is directory.ErrEmail, ErrNoUser or
// ErrNotRejected.
func ResolveKYC(ctx context.Context, db *sqlx.DB, email, vendor string) error {
	user, err := UserID(ctx, db, email)
	if err != nil {
		return err
	}
	return kyc.ResolveRejection(ctx, db, user, vendor)
}

// RotateSigningKeys replaces the keys that sign access tokens within 15 minutes. Issued tokens stay valid.
func RotateSigningKeys(ctx context.Context, db *sqlx.DB) error {
	return signing.AccessTokens.Rotate(ctx, db)
}

// RevokeSigningKeys deletes the keys that sign access tokens. Within 5 minutes every issued token is refused.
func RevokeSigningKeys(ctx context.Context, db *sqlx.DB) error {
	return signing.AccessTokens.Revoke(ctx, db)
}

// OverdueMails returns the number of mails that are older than age and are still to be sent.
func OverdueMails(ctx context.Context, db *sqlx.DB, age time.Duration) (int, error) {
	return mail.Overdue(ctx, db, age)
}

// HasOtherUsers reports whether any user has an address (in lower case) that is not one of these.
func HasOtherUsers(ctx context.Context, db *sqlx.DB, emails ...string) (bool, error) {
	return account.HasOthers(ctx, db, emails...)
}
