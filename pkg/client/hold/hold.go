// Package hold decides about single calls of tools: a call may run, must wait for the person, or must not run. The gate, its hook and
// the guard for Go servers use it. It keeps what they must remember between the calls: sessions, and the approvals that were asked
// for.
package hold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

const (
	// useTime limits the use of an approval. The use continues if the caller's context ends, so that its answer is not lost.
	useTime = 30 * time.Second
	// keepAnswered is how long the id of an approval is kept after the last time for an answer. An approved one can be used for two
	// minutes.
	keepAnswered = 3 * time.Minute
	// rounds is how often Decide starts again because the policy changed, or another call used the approval.
	rounds = 3
)

// Call is one call of a tool.
type Call struct {
	Person client.Person
	// Skill is the name that the policy judges.
	Skill string
	// Arguments is the JSON object of the call, as it was sent. Nil means no arguments.
	Arguments json.RawMessage
	// Audience names the server that verifies the receipt. Empty means the audience that the skill is registered with.
	Audience string
}

// Decision is what must happen with a call. Exactly one of Run and Waiting is true.
type Decision struct {
	// Run: the call may run, once.
	Run bool
	// Waiting: the person has not answered. Approval has the link and the time for an answer.
	Waiting bool
	// First: this Holder has not returned the approval before, so nobody has seen its link.
	First bool
	// Approval is set if the call is Waiting, and if exactly this call was approved.
	Approval client.Approval
	// Held is true if the call waits, or waited, for a person.
	Held bool
	// Receipt and Arguments are set if exactly this call was approved. The call must run with Arguments. Otherwise it runs as it was
	// sent.
	Receipt   client.Secret
	Arguments string
	// Reason says why nothing had to be asked. It is one of client.Reason….
	Reason string
}

// Holder decides about calls. Several goroutines may use it.
type Holder struct {
	client *client.Client
	memory Memory
	// uses has a channel for each approval that a call uses now, by the id. It is closed after the memory has what the use gave.
	uses  sync.Map
	waits waits
}

// New returns a Holder. memory may be nil; then the Holder remembers until the process ends.
func New(c *client.Client, memory Memory) *Holder {
	if memory == nil {
		memory = newInProcess()
	}
	return &Holder{client: c, memory: memory, waits: waits{running: map[string]*wait{}}}
}

// Decide says what must happen with a call now. It asks the person if that is needed, and does not wait for the answer. If the
// person approved the same call before and it did not run yet, it runs now.
//
// Every error means that the call must not run. Explain turns it into a text.
func (h *Holder) Decide(ctx context.Context, call Call) (Decision, error) {
	return h.decide(ctx, call, false)
}

// decide is Decide. confirmed says that the person gave a session for this call.
func (h *Holder) decide(ctx context.Context, call Call, confirmed bool) (Decision, error) {
	for range rounds {
		session := h.session(call.Person)
		need, err := h.client.CheckRequired(ctx, call.Person, call.Skill, session)
		if err != nil {
			return Decision{}, err
		}
		if !need.Required {
			return Decision{Run: true, Held: confirmed, Reason: need.Reason}, nil
		}
		decision, err := h.confirm(ctx, call, session, need.Reason == client.ReasonApprovalNeeded)
		if !errors.Is(err, errAgain) {
			return decision, err
		}
		confirmed = confirmed || errors.Is(err, errSession)
	}
	return Decision{}, errors.New("the policy or the approval changed while the call was decided")
}

var (
	// errAgain means that the decision must start again.
	errAgain = errors.New("the policy or the approval changed")
	// errSession means that the person gave a session. A session opens no call by itself: the policy decides again, with the session.
	errSession = fmt.Errorf("there is a new session: %w", errAgain)
)

// confirm returns the decision about a call that needs a confirmation: of exactly this call, or of a session.
func (h *Holder) confirm(ctx context.Context, call Call, session client.Secret, exact bool) (Decision, error) {
	q, err := ask(call, exact)
	if err != nil {
		return Decision{}, err
	}
	if id := h.memory.Get(q.key); id != nil {
		approval, err := h.client.Get(ctx, string(id))
		switch {
		case errors.Is(err, client.NotFound), err == nil && over(approval.Status):
			h.forget(q.key, string(id))
		case err != nil:
			return Decision{}, err
		default:
			return h.answered(ctx, call, q, approval)
		}
	}
	approval, err := h.client.Ask(ctx, client.Action{
		Customer: call.Person.Customer, Identity: call.Person.Identity, Skill: call.Skill, Arguments: q.arguments, Audience: call.Audience,
		Session: session,
	})
	if err != nil {
		return Decision{}, err
	}
	if approval.Status == client.StatusNotRequired {
		return Decision{Run: true, Reason: approval.Reason}, nil
	}
	if approval.Grants != q.grants {
		// The policy changed after the check. The person would read another question: for a session, the arguments were not sent.
		if err := h.client.Cancel(ctx, approval.ID); err != nil {
			return Decision{}, err
		}
		return Decision{}, errAgain
	}
	h.memory.Put(q.key, []byte(approval.ID), approval.ExpiresAt.Add(keepAnswered))
	return Decision{Waiting: true, First: true, Held: true, Approval: approval}, nil
}

// over reports whether an approval with this status says nothing about another call.
func over(status string) bool {
	return status == client.StatusUsed || status == client.StatusExpired || status == client.StatusCancelled
}

// Await waits until the person has answered a Decision that is Waiting, or ctx ends. At the end of ctx, the Decision is Waiting again
// and the approval stays; Decide or Await continues later. Only the ID of waiting must be set.
//
// If the approval was used for another call meanwhile, or does not exist any more, the Decision can be Waiting with another approval,
// whose link the person may not have seen. Compare the IDs.
func (h *Holder) Await(ctx context.Context, call Call, waiting client.Approval) (Decision, error) {
	approval, err := h.wait(ctx, waiting.ID)
	if ctx.Err() != nil { // also if the person has approved: nobody is there any more to run the call
		return Decision{Waiting: true, Held: true, Approval: waiting}, nil
	}
	if errors.Is(err, client.NotFound) {
		return h.decide(ctx, call, false)
	}
	if err != nil {
		return Decision{}, err
	}
	q, err := ask(call, approval.Grants != client.GrantsSession)
	if err != nil {
		return Decision{}, err
	}
	decision, err := h.answered(ctx, call, q, approval)
	if errors.Is(err, errAgain) {
		return h.decide(ctx, call, errors.Is(err, errSession))
	}
	return decision, err
}

// Find returns an approval of an earlier Decision by its id. The Decision about it comes from Await.
func (h *Holder) Find(ctx context.Context, id string) (client.Approval, error) {
	return h.client.Get(ctx, id)
}

// Cancel ends the approval of a Decision that is Waiting, also if ctx has ended. An identical call that waits for the same approval is
// refused then.
func (h *Holder) Cancel(ctx context.Context, call Call, waiting client.Approval) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTime)
	defer cancel()
	if q, err := ask(call, waiting.Grants != client.GrantsSession); err == nil {
		h.forget(q.key, waiting.ID)
	}
	return h.client.Cancel(ctx, waiting.ID)
}
