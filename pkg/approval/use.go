package approval

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/attackstep"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/token"
)

// Errors of Use, besides those of Refused.
var (
	ErrUseID     = fault.New(fault.Invalid, "use_id_form", "A use_id has 22 to 64 of the characters A-Z, a-z, 0-9, - and _").About("use_id")
	ErrArguments = fault.New(fault.Conflict, "action_mismatch", "The approval is for other arguments")
	ErrChanged   = fault.New(fault.Conflict, "pin_changed", "The PIN was changed, removed or locked after the approval")
	ErrEnded     = fault.New(fault.Conflict, "session_ended", "The session of the approval has ended")
	ErrChanging  = fault.New(fault.Unavailable, "approval_changing", "The approval is being changed, try again").RetryAfter(time.Second)
	// ErrUnknown means that the connection to Postgres was lost. The same use_id gets the answer or uses the approval now.
	ErrUnknown = fault.New(fault.Unavailable, "use_unknown",
		"The outcome is unknown: the approval may have been used. Repeat the request with the same use_id").RetryAfter(time.Second)
)

// Uses uses approvals.
type Uses struct {
	db       *sqlx.DB
	proxies  credential.Keys
	ring     *keyring.Ring
	keys     *signing.Keys
	sessions *session.Store
	issuer   string

	burnQ, whyQ *stores.Prepared
}

// NewUses returns a Uses. ring is the keyring of PINs. issuer is the URL at which the public keys of receipts are published.
func NewUses(db *sqlx.DB, ring *keyring.Ring, sessions *session.Store, issuer string) *Uses {
	return &Uses{
		db: db, proxies: credential.Keys{DB: db}, ring: ring, keys: signing.New(signing.Receipts, db, ring, ReceiptKeyLifetime),
		sessions: sessions, issuer: issuer, burnQ: &stores.Prepared{Query: burnSQL}, whyQ: &stores.Prepared{Query: whySQL},
	}
}

// UseRequest is a request to use an approval.
type UseRequest struct {
	Key                  token.Token
	InstanceID, Approval uuid.UUID
	// UseID is random, and new for each execution of the action.
	UseID string
	// Arguments are the JSON text of the arguments with which the agent will act. Nil: the agent does not say.
	Arguments []byte
}

// Grant is what a use gives: a receipt for the action, or a session.
type Grant struct {
	UsedAt     time.Time
	ActionHash string
	// Receipt is empty if Session is set.
	Receipt string
	// Session is nil if Receipt is set. The session ends at ExpiresAt, unless it ends earlier.
	Session   *token.Token
	ExpiresAt time.Time
}

var useID = regexp.MustCompile(`^[A-Za-z0-9_-]{22,64}$`)

// Use uses an approval, once: it burns the approval, and only then makes the receipt or the session. A request with the same UseID
// gets the same answer again.
//
// Errors: ErrUseID, an *action.Error, caller.ErrInvalid, directory.ErrNoInstance, ErrNotFound, pin.ErrNotWithin, the errors of
// Refused, ErrArguments and ErrChanged (nothing was used); ErrUnknown; session.ErrUnreachable (the approval is used, and the same
// UseID gets the session later); ErrReceiptGone and ErrEnded for a repeated use.
func (u *Uses) Use(ctx context.Context, r UseRequest) (Grant, error) {
	if !useID.MatchString(r.UseID) {
		return Grant{}, ErrUseID
	}
	var arguments *string // nil: not compared
	if r.Arguments != nil {
		canonical, err := action.Canonical(r.Arguments)
		if err != nil {
			return Grant{}, err
		}
		arguments = &canonical
	}
	useHash := sha256.Sum256([]byte(r.UseID))
	for range maxBurns {
		burnt, err := u.burn(ctx, r, arguments, useHash[:])
		if err == nil {
			attackstep.Reached("burnt")
			return u.answer(ctx, burnt)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return Grant{}, err
		}
		earlier, alive, err := u.why(ctx, r, arguments, useHash[:])
		if err != nil {
			return Grant{}, err
		}
		if earlier != nil {
			return u.repeat(ctx, *earlier, alive)
		}
	}
	return Grant{}, ErrChanging
}

// maxBurns is how often Use tries to burn an approval that seems to be usable. One further try is needed before the first receipt
// key exists, and when the person approves between the burn and the query that says why it did nothing.
const maxBurns = 3

// burn uses the approval in one statement. It returns sql.ErrNoRows if the statement did nothing, and ErrUnknown.
func (u *Uses) burn(ctx context.Context, r UseRequest, arguments *string, useHash []byte) (use, error) {
	c := caller.From(ctx)
	var row struct {
		use
		ProxyKeyID    uuid.UUID `db:"proxy_key_id"`
		UseUnrecorded bool      `db:"use_unrecorded"`
	}
	err := u.burnQ.Get(ctx, u.db, &row, r.Key.Hash(), r.InstanceID, r.Approval, arguments, useHash, c.RequestID, c.Address, pq.Array(u.ring.IDs()))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return use{}, err
	case stores.Unavailable(err) && !stores.ChangedNothing(err):
		return use{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	case err != nil:
		return use{}, fmt.Errorf("using an approval: %w", err)
	}
	if row.UseUnrecorded {
		_ = u.proxies.RecordProxyKeyUse(ctx, row.ProxyKeyID) // the approval is used: the next request records the key's use
	}
	return row.use, nil
}

// why returns why the burn did nothing: an error, or the earlier use with the same use_id. alive says whether the PIN of that use
// still applies. Without an error and an earlier use, the burn may be tried again.
func (u *Uses) why(ctx context.Context, r UseRequest, arguments *string, useHash []byte) (earlier *use, alive bool, err error) {
	who, err := u.proxies.AuthenticateProxyKey(ctx, r.Key)
	if err != nil {
		return nil, false, err
	}
	if who.InstanceID != r.InstanceID {
		return nil, false, directory.ErrNoInstance
	}
	var row struct {
		use
		SameArguments bool `db:"same_arguments"`
		Within        bool `db:"within"`
		PINApplies    bool `db:"pin_applies"`
	}
	err = u.whyQ.Get(ctx, u.db, &row, r.Approval, r.InstanceID, arguments)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, ErrNotFound
	case err != nil:
		return nil, false, fmt.Errorf("reading why an approval cannot be used: %w", err)
	case row.Reason != nil && *row.Reason == PINChanged:
		return nil, false, ErrChanged
	case row.Status != Approved && row.Status != Used:
		return nil, false, Refused(row.Status)
	case row.Status == Used && subtle.ConstantTimeCompare(row.UseHash, useHash) == 0:
		return nil, false, Refused(Used)
	case !row.SameArguments:
		return nil, false, ErrArguments
	case row.Status == Used:
		return &row.use, row.PINApplies && row.Within, nil
	case !row.Within:
		return nil, false, pin.ErrNotWithin
	}
	return nil, false, u.keys.Prepare(ctx) // an action needs a receipt key
}

// repeat answers a use with the same use_id again. The row lock makes Postgres write, so this answer also waits until a synchronous
// standby has confirmed the first use.
func (u *Uses) repeat(ctx context.Context, earlier use, alive bool) (Grant, error) {
	var hash []byte // of the session's token
	if earlier.Kind == Session {
		if !alive || !earlier.At.Before(earlier.sessionEnd()) {
			return Grant{}, ErrEnded
		}
		t, err := earlier.SessionToken(u.ring, earlier.HolderID.UUID, earlier.UseHash)
		if err != nil {
			return Grant{}, err
		}
		hash = t.Hash()
	}
	const q = `
		select exists (select from revoked_sessions v where v.session_hash = $2 and v.instance_id = a.instance_id)
		  from approvals a where a.id = $1 for no key update`
	var revoked bool
	err := u.db.GetContext(ctx, &revoked, q, earlier.ID, hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Grant{}, ErrNotFound
	case err != nil:
		return Grant{}, fmt.Errorf("repeating the answer to a use: %w", err)
	case revoked:
		return Grant{}, ErrEnded
	}
	return u.answer(ctx, earlier)
}

// answer makes the receipt or the session of an approval that is used. Everything in it is in the row, so a repeated use gets the
// same answer.
func (u *Uses) answer(ctx context.Context, used use) (Grant, error) {
	grant := Grant{UsedAt: *used.UsedAt, ActionHash: used.Hash()}
	if used.Kind == Action {
		text, err := u.receipt(used)
		grant.Receipt = text
		return grant, err
	}
	t, err := used.SessionToken(u.ring, used.HolderID.UUID, used.UseHash)
	if err != nil {
		return Grant{}, err
	}
	grant.Session, grant.ExpiresAt = &t, used.sessionEnd()
	err = u.sessions.Put(ctx, t, session.Session{
		InstanceID: used.InstanceID, CustomerID: used.CustomerID, IdentityID: used.IdentityID, HolderID: used.HolderID.UUID,
		Generation: used.SessionGeneration.UUID, IssuedAt: *used.UsedAt, TTL: grant.ExpiresAt.Sub(*used.UsedAt),
	}, grant.ExpiresAt.Sub(used.At))
	if err != nil {
		return Grant{}, err
	}
	return grant, nil
}
