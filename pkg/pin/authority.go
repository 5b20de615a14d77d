package pin

import (
	"context"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/token"
)

// Errors of a missing or wrong proof.
var (
	ErrUnproved   = fault.New(fault.Forbidden, "proof_needed", "The current PIN or a live PIN session is needed for this change")
	ErrProofWrong = fault.New(fault.Forbidden, "proof_wrong", "The current PIN is wrong")
	ErrNotSet     = fault.New(fault.Conflict, "pin_not_set", "No PIN is set")
)

// party is a party that may change PINs.
type party string

const (
	agent    party = "agent"    // an agent runtime, with its proxy key
	customer party = "customer" // the customer, signed in
	admin    party = "admin"    // an admin or an API key with the scope admin, through pin-admin
)

// Authority is the right to change a PIN: the party that has the right, and the PIN that the party proved, if any.
//
// An agent and a customer have the same rights: they cannot change a PIN that is locked or deactivated, and their changes do
// not renew its guess budget. So a stolen sign-in cannot end a lock. An admin can change every PIN, and an admin's Set renews
// the budget. The zero Authority has the rights of an agent.
type Authority struct {
	party party
	proof proof
}

// The authorities without a proof.
var (
	// ByAgent is enough if the instance's policy demands no proof from agents.
	ByAgent = Authority{party: agent}
	// ByCustomer is enough if the customer signed in recently (caller.RequireFresh).
	ByCustomer = Authority{party: customer}
	ByAdmin    = Authority{party: admin}
)

// proof names the PIN that a party proved. A change that is based on a proof is made only while that PIN is still in place.
type proof struct {
	// given is false if nothing was proved.
	given bool
	// applying is the generation of the PIN that applied. own is the generation of the PIN of the holder whose PIN will be
	// changed. It is null if the holder had no PIN of its own, and another PIN applied.
	applying, own uuid.NullUUID
}

// AuthorizeAgent returns the authority of an agent to change the PIN of an identity. The agent proves the PIN that applies with
// the current PIN, which is checked within its guess budget, or with a session. If it sends both, the current PIN decides.
// presented is nil if the agent sent no session. It is the zero Session if the token that it sent names no session. next is the new
// PIN, or nil for a removal: a weak PIN is refused before a proof costs an attempt.
//
// If a PIN applies, a proof that was sent is always checked, also if the instance's policy demands none: a wrong proof means
// that something else than the person's confirmation caused the change. AuthorizeAgent returns ErrUnproved if the session is not
// valid or a demanded proof is missing, ErrProofWrong, ErrLocked, ErrWeak, ErrPageOnly, or an error of Verify.
func (v *Verifier) AuthorizeAgent(ctx context.Context, key token.Token, subject Subject, next, current *PIN, presented *session.Session) (Authority, error) {
	r, err := v.Resolve(ctx, key, subject, presented, nil)
	sent := current != nil || presented != nil
	switch {
	case err != nil:
		return Authority{}, err
	case r.PINEntry != policy.EntryAny:
		return Authority{}, ErrPageOnly
	case next != nil && Check(*next) != nil:
		return Authority{}, Check(*next)
	case !sent && !r.ChangeRequiresProof:
		return ByAgent, nil
	case current != nil && r.HasPIN():
		result, err := v.Verify(ctx, key, subject, *current)
		if err != nil {
			return Authority{}, err
		}
		p, err := result.proof(subject.IdentityID.UUID)
		return Authority{agent, p}, err
	case r.HasPIN() && !r.Accepts(presented):
		return Authority{}, ErrUnproved
	}
	p := proof{given: true, applying: r.Generation} // no PIN applies, so there is nothing to prove; or the session is the proof
	if r.HeldByIdentity {
		p.own = r.Generation
	}
	return Authority{agent, p}, nil
}

// AuthorizeCustomer returns the authority of a signed-in customer who knows the current PIN. The PIN is checked within its
// guess budget. tenant is the user whose place in the hashing pool is used. AuthorizeCustomer returns ErrNotSet if the customer
// has no PIN, ErrProofWrong, ErrLocked, or an error of Verify.
func (v *Verifier) AuthorizeCustomer(ctx context.Context, tenant, customerID uuid.UUID, current PIN) (Authority, error) {
	resolve := func(ctx context.Context) (Resolved, error) { return v.resolveOwn(ctx, customerID) }
	own := question{subject: Subject{CustomerID: uuid.NullUUID{UUID: customerID, Valid: true}}}
	result, err := v.verify(ctx, tenant, own, resolve, current)
	if err != nil {
		return Authority{}, err
	}
	if result.Outcome == NotSet {
		return Authority{}, ErrNotSet
	}
	p, err := result.proof(customerID)
	return Authority{customer, p}, err
}

// proof returns what a verification proved for a change of holder's PIN. It returns ErrProofWrong or ErrLocked.
func (r Result) proof(holder uuid.UUID) (proof, error) {
	switch r.Outcome {
	case Locked, Inactive:
		return proof{}, ErrLocked
	case Wrong:
		return proof{}, ErrProofWrong
	case NotSet:
		return proof{given: true}, nil // the PIN was removed meanwhile
	}
	p := proof{given: true, applying: uuid.NullUUID{UUID: r.Generation, Valid: true}}
	if r.Holder == holder {
		p.own = p.applying
	}
	return p, nil
}
