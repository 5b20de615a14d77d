package approval

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/token"
)

// Errors of asking. ErrPINLocked says until when.
var (
	ErrPINNotSet     = fault.New(fault.Conflict, "pin_not_set", "The customer has no PIN")
	ErrPINLocked     = fault.New(fault.Conflict, "pin_locked", "The PIN is locked")
	ErrPINInactive   = fault.New(fault.Conflict, "pin_inactive", "The PIN is deactivated. An admin must set it again")
	ErrOtherAudience = fault.New(fault.Invalid, "audience_differs", "The skill is registered with another audience").About("audience")
)

// Asker asks for approvals. A process has one Asker.
type Asker struct {
	db       *sqlx.DB
	verifier *pin.Verifier
	skills   *skill.Catalog
	keys     *keyring.Ring
	limits   Config

	turns      turns
	askQ, getQ stores.Prepared
}

// NewAsker returns an Asker. keys is the keyring of PINs.
func NewAsker(db *sqlx.DB, verifier *pin.Verifier, keys *keyring.Ring, limits Config) *Asker {
	return &Asker{
		db: db, verifier: verifier, skills: skill.NewCatalog(db), keys: keys, limits: limits,
		askQ: stores.Prepared{Query: askSQL}, getQ: stores.Prepared{Query: getSQL},
	}
}

// Request is what an agent is about to do.
type Request struct {
	Subject pin.Subject
	// Skill has 1 to 255 characters, Audience the same, and Note at most 500. Audience and Note may be nil.
	Skill          string
	Audience, Note *string
	// Arguments is the JSON text of an object, as it was sent. Empty: no arguments.
	Arguments string
	// ExpiresIn is the time for an answer: 30 seconds to 1 hour.
	ExpiresIn time.Duration
	// Presented is the session that the agent presented, or nil.
	Presented *session.Session
}

// Answer is the answer to a Request.
type Answer struct {
	// NotRequired is the reason why nothing is needed. If it is not empty, there is no approval.
	NotRequired policy.Reason
	Row         Row
	// Created is false if Row is the pending approval of the same request that was sent before.
	Created bool
}

// Ask decides what a request needs, and asks the person for an approval if it needs one. The same request gets the same approval
// while that is pending: the same action, for the same identity, by the same policy.
//
// Errors: those of pin.Verifier.Resolve, ErrPINNotSet, ErrPINLocked, ErrPINInactive, skill.ErrChanging, *action.Error about the
// arguments, ErrOtherAudience, ErrChanging, and those of the limits.
func (a *Asker) Ask(ctx context.Context, key token.Token, r Request) (Answer, error) {
	resolved, err := a.verifier.Resolve(ctx, key, r.Subject, r.Presented, &r.Skill)
	if err != nil {
		return Answer{}, err
	}
	decision := resolved.CheckRequired(&r.Skill, r.Presented)
	if !decision.Required {
		return Answer{NotRequired: decision.Reason}, nil
	}
	if err := askable(resolved); err != nil {
		return Answer{}, err
	}
	kind := Session
	if decision.Reason == policy.ApprovalNeeded {
		kind = Action
	}
	row, err := a.row(ctx, resolved, kind, r)
	if err != nil {
		return Answer{}, err
	}
	return a.insert(ctx, row, resolved.KeyID, r.ExpiresIn)
}

// askable returns an error if the person cannot approve, because no active PIN applies.
func askable(r pin.Resolved) error {
	switch {
	case !r.HasPIN():
		return ErrPINNotSet
	case r.Deactivated:
		return ErrPINInactive
	case r.Locked():
		return ErrPINLocked.Until(*r.LockedUntil).RetryAfter(r.LockedUntil.Sub(r.At))
	}
	return nil
}

// row returns the approval of a request, with what the person will read. It checks the arguments and the audience.
func (a *Asker) row(ctx context.Context, resolved pin.Resolved, kind Kind, r Request) (Row, error) {
	row := Row{
		ID: uuid.New(), Kind: kind, InstanceID: resolved.InstanceID, CustomerID: resolved.CustomerID.UUID, IdentityID: resolved.IdentityID,
		Skill: action.Lower(r.Skill), Audience: r.Audience, Note: r.Note, Nonce: make([]byte, 32), KeyID: a.keys.Current(), Status: Pending,
	}
	rand.Read(row.Nonce)
	// What the person reads is stored, so that it stays the same when an admin changes the skill meanwhile.
	definition, err := a.skills.Definition(ctx, resolved.InstanceID, resolved.Skill)
	if err != nil {
		return Row{}, err
	}
	row.Title, row.Template = definition.Title, definition.Template
	if row.Arguments, err = action.Canonical([]byte(r.Arguments)); err != nil {
		return Row{}, err
	}
	// A session is not bound to arguments, so an agent may ask for it without them.
	if kind == Action || row.Arguments != "{}" {
		if err := definition.Schema.Check(row.Arguments); err != nil {
			return Row{}, err
		}
	}
	if registered := resolved.Skill; registered.Mode != skill.Unregistered {
		row.Skill = registered.Name
		if registered.Audience != nil {
			if r.Audience != nil && *r.Audience != *registered.Audience {
				return Row{}, ErrOtherAudience
			}
			row.Audience = registered.Audience
		}
	}
	hash, err := action.Action{
		Instance: row.InstanceID.String(), Customer: row.CustomerID.String(), Skill: row.Skill, Audience: row.Audience, Arguments: row.Arguments,
	}.Hash()
	row.ActionHash = hash[:]
	return row, err
}

// insert runs askSQL for a row.
func (a *Asker) insert(ctx context.Context, row Row, key uuid.UUID, expiresIn time.Duration) (Answer, error) {
	link, err := row.LinkToken(a.keys)
	if err != nil {
		return Answer{}, err
	}
	who := caller.From(ctx)
	who.ID = key // before Resolve, only the text of the key was known
	asked, err := row.event("approval.asked").Values(caller.NewContext(ctx, who))
	if err != nil {
		return Answer{}, err
	}
	l := a.limits
	args := append([]any{
		row.ID, row.InstanceID, row.CustomerID, row.IdentityID, key, row.Kind, row.Skill, row.Audience, row.Arguments, row.ActionHash,
		row.Title, row.Template, row.Note, row.Nonce, row.KeyID,
		l.window().Seconds(), l.DeniedFor.Seconds(), l.SkillDenials, l.SkillDeniedFor.Seconds(), l.PerHour, l.Pending,
		link.Hash(), expiresIn.Seconds(),
	}, asked...)
	end, err := a.turns.take(ctx, row.InstanceID.String()+row.CustomerID.String())
	if err != nil {
		return Answer{}, err
	}
	defer end()
	v, err := a.ask(ctx, args)
	if err == nil && v.nothing() {
		if err = endOf(ctx, a.db, row.CustomerID, row.InstanceID); err == nil {
			v, err = a.ask(ctx, args)
		}
	}
	switch {
	case err != nil:
		return Answer{}, err
	case v.Same.Valid:
		var same Row
		err := a.getQ.Get(ctx, a.db, &same, v.Same.UUID, row.InstanceID)
		if errors.Is(err, sql.ErrNoRows) { // the customer or the identity was deleted meanwhile
			return Answer{}, pin.ErrNotWithin
		}
		if err != nil {
			return Answer{}, fmt.Errorf("reading the approval of the same request: %w", err)
		}
		return Answer{Row: same}, nil
	case v.nothing():
		return Answer{}, ErrChanging
	case v.CreatedAt == nil:
		return Answer{}, v.refusal()
	}
	row.At, row.Requester, row.CreatedAt, row.ExpiresAt = v.At, v.Requester, *v.CreatedAt, *v.ExpiresAt
	return Answer{Row: row, Created: true}, nil
}

// ask runs askSQL.
func (a *Asker) ask(ctx context.Context, args []any) (v verdict, err error) {
	err = a.askQ.Get(ctx, a.db, &v, args...)
	var violation *pq.Error
	if errors.As(err, &violation) && violation.Code == "23503" { // foreign_key_violation: the customer or the identity was deleted meanwhile
		return verdict{}, pin.ErrNotWithin
	}
	if err != nil {
		return verdict{}, fmt.Errorf("asking for an approval: %w", err)
	}
	return v, nil
}
