package pin

import (
	"context"

	"github.com/countersign/countersign/pkg/session"
)

// Standing asks Postgres about a subject, once. The errors are those of Verify that concern the proxy key and the subject.
func (v *Verifier) Standing(ctx context.Context, who Subject) (Standing, error) {
	return v.store.resolve(ctx, who)
}

// Prove says whether an agent may change a subject's PIN as far as the instance's policy is concerned: when the policy
// demands a proof and a PIN already applies, a live session or the current PIN is one, and the PIN is checked within its
// budget. It returns ErrUnproved, ErrProofWrong, ErrLocked, or what Verify returns.
func (v *Verifier) Prove(ctx context.Context, who Subject, current *PIN, presented *session.Session) error {
	s, err := v.store.resolve(ctx, who)
	if err != nil {
		return err
	}
	if !s.ChangeRequiresProof || !s.HasPIN() || s.Accepts(presented) {
		return nil
	}
	if current == nil {
		return ErrUnproved
	}
	result, err := v.Verify(ctx, who, *current)
	if err != nil {
		return err
	}
	switch result.Outcome {
	case Locked, Inactive:
		return ErrLocked
	case Wrong:
		return ErrProofWrong
	}
	return nil
}
