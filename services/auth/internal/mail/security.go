package mail

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/caller"
)

// The kinds of security mails. They have no link and no secret. The mails about PINs are written by the trigger mail_pin_event.
const (
	PasswordChanged       Kind = "password_changed"
	FactorAdded           Kind = "factor_added"
	FactorRemoved         Kind = "factor_removed"
	RecoveryCodesReplaced Kind = "recovery_codes_replaced"
	RecoveryCodeUsed      Kind = "recovery_code_used"
	NewNetwork            Kind = "new_network"
	AddressRequested      Kind = "address_requested"
	addressChanged        Kind = "address_changed"
	pinSet                Kind = "pin_set"
	pinRemoved            Kind = "pin_removed"
	pinLocked             Kind = "pin_locked"
	pinDeactivated        Kind = "pin_deactivated"
)

// operator is the source of an event that a caller without a network address caused.
const operator = "an administrator of this service"

// Notify stores a security mail to a user, in the transaction of the event that it is about. The mail goes to the address that
// the user has now: an attacker who changes the address before it is sent does not get it. It contains the network address of
// the caller in the context. A user gets at most ten mails of one kind an hour, so that an attacker who repeats an act does not
// flood the mailbox.
func Notify(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, kind Kind) error {
	return notify(ctx, tx, user, kind, "")
}

// NotifyOldAddress tells a user at the old address (in lower case) that the account has another address now.
func NotifyOldAddress(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, old string) error {
	return notify(ctx, tx, user, addressChanged, old)
}

// notify is Notify with an address that the mail is sent to, in place of the user's address.
func notify(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, kind Kind, address string) error {
	source := caller.From(ctx).Address
	if source == "" {
		source = operator
	}
	const q = `
		insert into mails (id, user_id, kind, address, source, expires_at)
		select gen_random_uuid(), id, $2, coalesce(nullif($3, ''), email), $4, now() + make_interval(secs => $5)
		  from users
		 where id = $1 and (select count(*) from mails where user_id = $1 and kind = $2 and created_at > now() - interval '1 hour') < 10`
	if _, err := tx.ExecContext(ctx, q, user, kind, address, source, lifetime(kind).Seconds()); err != nil {
		return fmt.Errorf("storing a security mail: %w", err)
	}
	return nil
}
