// Package pin decides about PINs: which may be chosen, how they are kept, whether one is needed, and whether a candidate
// is right, within a guess budget that is exact. For one holder of a PIN at most Budget.Attempts candidates are compared
// before a lock, whatever runs in parallel, crashes or is flushed.
package pin

import (
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
)

// The failures that a caller can do something about.
var (
	ErrForm         = fault.New(fault.Invalid, "pin_form", "A PIN has 4 to 12 digits").About("pin")
	ErrWeak         = fault.New(fault.Invalid, "pin_weak", "The PIN is too easy to guess").About("pin")
	ErrNoSubject    = fault.New(fault.Invalid, "subject_missing", "customer_id or identity_id is needed")
	ErrNotWithin    = fault.New(fault.NotFound, "subject_not_found", "Customer or identity not found in this instance")
	ErrGone         = fault.New(fault.NotFound, "holder_not_found", "Customer or identity not found")
	ErrLocked       = fault.New(fault.Conflict, "pin_locked", "The PIN is locked or deactivated")
	ErrUnidentified = fault.New(fault.Conflict, "kyc_required", "The customer's identity has to be verified before a PIN may be set (kyc_required)")
	ErrChanged      = fault.New(fault.Conflict, "pin_changed", "The PIN was changed meanwhile")
	ErrNotSet       = fault.New(fault.Conflict, "pin_not_set", "No PIN is set")
	ErrUnproved     = fault.New(fault.Forbidden, "proof_needed", "The current PIN or a live PIN session is needed for this change")
	ErrProofWrong   = fault.New(fault.Forbidden, "proof_wrong", "The current PIN is wrong")
	ErrChanging     = fault.New(fault.Unavailable, "pin_changing", "The PIN is being changed, try again").RetryAfter(time.Second)
)

// PIN is a person's secret, or what somebody typed for it: 4 to 12 ASCII digits (ISO 9564). It prints as [redacted].
type PIN struct{ secret.Text }

var form = regexp.MustCompile(`^[0-9]{4,12}$`)

// Parse reads a PIN, or returns ErrForm.
func Parse(text string) (PIN, error) {
	if !form.MatchString(text) {
		return PIN{}, ErrForm
	}
	return PIN{secret.New(text)}, nil
}

// UnmarshalText reads a PIN from a JSON string.
func (p *PIN) UnmarshalText(text []byte) (err error) {
	*p, err = Parse(string(text))
	return err
}

// Holder is whose PIN it is: an identity when IdentityID is given, else the customer. Budgets belong to holders.
type Holder struct {
	CustomerID uuid.UUID
	IdentityID uuid.NullUUID
}

// ID is the identity's id or the customer's.
func (h Holder) ID() uuid.UUID {
	if h.IdentityID.Valid {
		return h.IdentityID.UUID
	}
	return h.CustomerID
}

// Status is what may be told about a holder's PIN. Times are Postgres's.
type Status struct {
	CreatedAt   *time.Time `db:"created_at"`
	HasPIN      bool       `db:"has_pin"`
	IsActive    bool       `db:"is_active"`
	IsLocked    bool       `db:"is_locked"`
	LockedUntil *time.Time `db:"locked_until"`
}
