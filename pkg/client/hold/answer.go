package hold

import (
	"context"
	"errors"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
)

// answered returns the decision that follows from the state of an approval. It uses an approval that the person gave.
func (h *Holder) answered(ctx context.Context, call Call, q question, approval client.Approval) (Decision, error) {
	if approval.Grants != q.grants || action.Lower(approval.Skill) != action.Lower(call.Skill) {
		return Decision{}, errors.New("the approval is about another call")
	}
	switch approval.Status {
	case client.StatusPending:
		return Decision{Waiting: true, Held: true, Approval: approval}, nil
	case client.StatusApproved:
		return h.use(ctx, call.Person, q, approval)
	case client.StatusUsed: // for an identical call, or for another call that needs the same session
		h.forget(q.key, approval.ID)
		if other, busy := h.uses.Load(approval.ID); busy {
			return Decision{}, again(ctx, other)
		}
		return Decision{}, errAgain
	default:
		h.forget(q.key, approval.ID)
		return Decision{}, &client.Refusal{Code: client.Code("approval_" + approval.Status), Reason: approval.Reason}
	}
}

// use uses an approval. The call that is not the first one decides again after the first one has ended: then there is a session, or
// the person is asked again.
func (h *Holder) use(ctx context.Context, who client.Person, q question, approval client.Approval) (Decision, error) {
	done := make(chan struct{})
	if other, busy := h.uses.LoadOrStore(approval.ID, done); busy {
		return Decision{}, again(ctx, other)
	}
	defer close(done)
	defer h.uses.Delete(approval.ID)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTime)
	defer cancel()
	used, err := h.client.Use(ctx, approval.ID, client.NewUseID(), q.arguments)
	if err != nil && !errors.Is(err, client.Used) {
		return Decision{}, err
	}
	h.forget(q.key, approval.ID)
	switch {
	case err != nil: // an identical call was faster
		return Decision{}, errAgain
	case q.grants == client.GrantsSession && used.Session.Reveal() != "":
		h.memory.Put(sessionKey(who), []byte(used.Session.Reveal()), used.SessionExpiresAt)
		return Decision{}, errSession
	case q.grants == client.GrantsAction && used.Receipt.Reveal() != "" && used.ActionHash == approval.ActionHash:
		return Decision{Run: true, Held: true, Approval: approval, Receipt: used.Receipt, Arguments: used.Arguments}, nil
	}
	return Decision{}, errors.New("the receipt is about another action")
}

// again returns errAgain when the use of another call has ended, or the error of ctx.
func again(ctx context.Context, other any) error {
	select {
	case <-other.(chan struct{}):
		return errAgain
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget removes the approval with this id from the memory. Another approval with the same key stays.
func (h *Holder) forget(key, id string) {
	if string(h.memory.Get(key)) == id {
		h.memory.Delete(key)
	}
}

func (h *Holder) session(who client.Person) client.Secret {
	if token := h.memory.Get(sessionKey(who)); token != nil {
		return client.NewSecret(string(token))
	}
	return client.Secret{}
}

func sessionKey(who client.Person) string {
	return "session:" + digest(who.Customer, who.Identity)
}
