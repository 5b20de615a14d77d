// Package approval asks one person whether an agent may do one action, and keeps the answer. An agent asks, waits, and uses the
// approval once. The person decides on a page that the model never sees.
//
// An approval is one row. Each change of its status is one conditional statement on this row, so parallel requests cannot use an
// approval twice. The times are Postgres's times. If all data in Redis is lost, only wake-ups are lost.
package approval

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/skill"
)

// Status is the state of an approval.
type Status string

// The states. Only Pending can be decided, and only Approved can be used.
const (
	Pending   Status = "pending"
	Approved  Status = "approved"
	Denied    Status = "denied"
	Expired   Status = "expired"
	Cancelled Status = "cancelled"
	Used      Status = "used"
)

// Kind is what the use of an approval gives.
type Kind string

// The kinds. The API calls this field "grants".
const (
	// Action: a receipt for exactly this action.
	Action Kind = "action"
	// Session: a PIN session, which opens every skill that needs no approval of its own.
	Session Kind = "session"
)

// Reason says why an approval was denied or has expired.
type Reason string

// The reasons. An approval that expired because its time is over has none.
const (
	// WrongPIN: two wrong PINs were given at its link.
	WrongPIN Reason = "wrong_pin"
	// Person: the person refused.
	Person Reason = "person"
	// PINChanged: the PIN was changed, removed or locked after the approval.
	PINChanged Reason = "pin_changed"
)

const (
	// MaxTries is how many PINs may be given at one link.
	MaxTries = 2
	// lostAfter is how long after its charge a try can be settled. It is longer than pin's time for that. After it, a try that was
	// not settled counts as wrong.
	lostAfter = "interval '15 seconds'"
)

// ErrNotFound means that the instance or the customer has no such approval.
var ErrNotFound = fault.New(fault.NotFound, "approval_not_found", "Approval not found")

// refusals are the errors of requests that an approval's state does not allow. errors.Is compares their codes.
var refusals = map[Status]*fault.Error{
	Pending:   fault.New(fault.Conflict, "approval_pending", "The person has not answered yet"),
	Approved:  fault.New(fault.Conflict, "approval_approved", "The person has approved already"),
	Denied:    fault.New(fault.Conflict, "approval_denied", "The approval was denied"),
	Expired:   fault.New(fault.Conflict, "approval_expired", "The approval has expired"),
	Cancelled: fault.New(fault.Conflict, "approval_cancelled", "The agent cancelled the approval"),
	Used:      fault.New(fault.Conflict, "approval_used", "The approval was used already"),
}

// Refused returns the error of a request that an approval with this status does not allow.
func Refused(s Status) *fault.Error { return refusals[s] }

// Row is one approval.
type Row struct {
	ID         uuid.UUID     `db:"id"`
	InstanceID uuid.UUID     `db:"instance_id"`
	CustomerID uuid.UUID     `db:"customer_id"`
	IdentityID uuid.NullUUID `db:"identity_id"`
	// Requester is the name of the proxy key that asked. It is nil if the key has no name.
	Requester *string `db:"requester"`

	Kind Kind `db:"kind"`
	// Skill is in the spelling that is part of the hash.
	Skill    string  `db:"skill"`
	Audience *string `db:"audience"`
	// Arguments are in their canonical form (RFC 8785).
	Arguments  string `db:"arguments"`
	ActionHash []byte `db:"action_hash"`
	// Title and Template are the skill's when the agent asked.
	Title    *string `db:"title"`
	Template *string `db:"template"`
	Note     *string `db:"note"`

	// Nonce is random, and KeyID names the key of PIN_KEYS: the link's token and the session token are derived from them.
	Nonce []byte `db:"nonce"`
	KeyID string `db:"key_id"`

	// Status and Reason are as of At, Postgres's time of the query. ExpiresAt is the end of the time for an answer, and after an
	// approval of the time for its use.
	At        time.Time  `db:"at"`
	Status    Status     `db:"status"`
	Reason    *Reason    `db:"reason"`
	CreatedAt time.Time  `db:"created_at"`
	ExpiresAt time.Time  `db:"expires_at"`
	DecidedAt *time.Time `db:"decided_at"`
	Tries     int        `db:"tries"`
	UsedAt    *time.Time `db:"used_at"`
}

// Hash returns the action's hash in hexadecimal digits.
func (r Row) Hash() string { return hex.EncodeToString(r.ActionHash) }

// Shown returns what the person reads about the action.
func (r Row) Shown() (skill.Shown, error) {
	shown, err := skill.Show(r.Skill, r.Title, r.Template, r.Arguments)
	if err != nil {
		return skill.Shown{}, fmt.Errorf("showing an approval: %w", err)
	}
	return shown, nil
}

// TriesLeft is how many PINs may still be given at the link.
func (r Row) TriesLeft() int { return max(0, MaxTries-r.Tries) }

// The status of a row a, whose approving PIN is the row h of pin_holders, at the present time. A row whose time is over, whose PIN
// was changed, or whose last try was lost counts as expired or denied before that is written.
const (
	timeOver   = `(a.status in ('pending', 'approved') and a.expires_at <= now())`
	pinChanged = `(a.status = 'approved' and not ` + pinApplies + `)`
	triesLost  = `(a.status = 'pending' and a.tries >= 2 and a.tried_at < now() - ` + lostAfter + `)`

	// pinApplies is true if the PIN that approved still applies to the subject, and was neither changed nor locked since. The burn
	// checks the same, on locked rows.
	pinApplies = `(h.session_generation is not distinct from a.session_generation and h.verifier is not null and h.deactivated_by is null
	       and (h.locked_until is null or h.locked_until <= now())
	       and not exists (select from pin_holders o where o.holder_id = a.identity_id and o.holder_id <> a.holder_id and o.verifier is not null))`

	statusNow = `case when ` + timeOver + ` or ` + pinChanged + ` then 'expired' when ` + triesLost + ` then 'denied' else a.status end`
	reasonNow = `case when ` + pinChanged + ` then 'pin_changed' when ` + timeOver + ` then null when ` + triesLost + ` then 'wrong_pin' else a.reason end`
)

// columns are the fields of Row, for a row a, left-joined with the row h of pin_holders that approved it.
const columns = `now() as at, a.id, a.instance_id, a.customer_id, a.identity_id, a.requester, a.kind, a.skill, a.audience, a.arguments,
	a.action_hash, a.title, a.template, a.note, a.nonce, a.key_id, a.created_at, a.expires_at, a.decided_at, a.tries, a.used_at,
	` + statusNow + ` as status, ` + reasonNow + ` as reason`

// from is the table that columns reads.
const from = `approvals a left join pin_holders h on h.holder_id = a.holder_id`

const getSQL = `select ` + columns + ` from ` + from + ` where a.id = $1 and a.instance_id = $2`

// Get returns an approval of an instance, or ErrNotFound.
func Get(ctx context.Context, db sqlx.QueryerContext, instance, id uuid.UUID) (Row, error) {
	var r Row
	err := sqlx.GetContext(ctx, db, &r, getSQL, id, instance)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, ErrNotFound
	}
	if err != nil {
		return Row{}, fmt.Errorf("reading an approval: %w", err)
	}
	return r, nil
}
