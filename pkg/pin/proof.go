package pin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/session"
)

// Standing asks Postgres about a subject, once. The errors are those of Verify that concern the proxy key and the subject.
func (v *Verifier) Standing(ctx context.Context, who Subject) (Standing, error) {
	return v.store.resolve(ctx, who)
}

// proof says which PIN was proved, by its generation: the one that applied to whose PIN is to be changed, and their own,
// unless that was another's. A change on the strength of it changes that PIN and no other.
type proof struct{ applying, own uuid.NullUUID }

// proved returns what was proved, which is nothing when nothing had to be.
func (by Authority) proved() proof {
	if by.proof == nil {
		return proof{}
	}
	return *by.proof
}

// Prove says by whose right an agent may change an identity's PIN: when the instance's policy demands a proof and a PIN
// already applies, a live session or the current PIN is one, and the PIN is checked within its budget. It returns
// ErrUnproved, ErrProofWrong, ErrLocked, or what Verify returns.
func (v *Verifier) Prove(ctx context.Context, who Subject, current *PIN, presented *session.Session) (Authority, error) {
	s, err := v.store.resolve(ctx, who)
	switch {
	case err != nil:
		return Authority{}, err
	case !s.ChangeRequiresProof:
		return ByAgent, nil
	case !s.HasPIN() || s.Accepts(presented):
		p := proof{applying: s.Generation}
		if s.HeldByIdentity {
			p.own = s.Generation
		}
		return Authority{proof: &p}, nil
	case current == nil:
		return Authority{}, ErrUnproved
	}
	return v.proveBy(ctx, who, *current)
}

// ProveSelf says by whose right a customer may change the PIN that they hold, which is checked within its budget. It
// returns ErrNotSet when they hold none, ErrProofWrong, ErrLocked, or what Verify returns.
func (v *Verifier) ProveSelf(ctx context.Context, customer uuid.UUID, current PIN) (Authority, error) {
	by, err := v.proveBy(ctx, Subject{CustomerID: uuid.NullUUID{UUID: customer, Valid: true}, Self: true}, current)
	if err == nil && !by.proof.applying.Valid {
		return Authority{}, ErrNotSet
	}
	return by, err
}

func (v *Verifier) proveBy(ctx context.Context, who Subject, current PIN) (Authority, error) {
	result, err := v.Verify(ctx, who, current)
	if err != nil {
		return Authority{}, err
	}
	switch result.Outcome {
	case Locked, Inactive:
		return Authority{}, ErrLocked
	case Wrong:
		return Authority{}, ErrProofWrong
	case NotSet:
		return Authority{proof: &proof{}}, nil // there was none to prove
	}
	p := proof{applying: uuid.NullUUID{UUID: result.generation, Valid: true}}
	if who.Self || result.holder == who.IdentityID.UUID {
		p.own = p.applying
	}
	return Authority{proof: &p}, nil
}

// resolveSelf asks about the PIN that a customer holds.
func (s store) resolveSelf(ctx context.Context, customer uuid.NullUUID) (Standing, error) {
	const q = `
		select now() as at, h.customer_id, h.holder_id, h.verifier, h.generation, h.session_generation, h.charged,
		       h.deactivated_by is not null as deactivated, case when h.locked_until > now() then h.locked_until end as locked_until
		  from pin_holders h where h.holder_id = $1 and h.verifier is not null`
	var st Standing
	err := s.db.GetContext(ctx, &st, q, customer)
	if errors.Is(err, sql.ErrNoRows) {
		return Standing{CustomerID: customer}, nil
	}
	if err != nil {
		return Standing{}, fmt.Errorf("resolving a customer's own PIN: %w", err)
	}
	return st, nil
}
