// Package hold decides about single calls of tools: a call may run, must wait for the person, or must not run. The gate, its hook and
// the guard for Go servers use it. It keeps what they must remember between the calls: sessions, and the approvals that were asked
// for.
package hold

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
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
	Waiting  bool
	Approval client.Approval
	// Held is true if the policy protects the call now, so that a person confirmed it for this call.
	Held bool
	// Receipt and Arguments are set if exactly this call was approved. The call must run with Arguments. Otherwise it runs as it was
	// sent.
	Receipt   client.Secret
	Arguments string
	// Reason says why nothing had to be asked. It is one of client.Reason….
	Reason string
}

// Memory keeps values between calls. Several goroutines may use it. Values are secret.
type Memory interface {
	// Get returns the value of a key, or nil if there is no value or it is too old.
	Get(key string) []byte
	Put(key string, value []byte, until time.Time)
	Delete(key string)
}

// Holder decides about calls. Several goroutines may use it.
type Holder struct {
	client *client.Client
	memory Memory
}

// New returns a Holder. memory may be nil; then the Holder remembers until the process ends.
func New(c *client.Client, memory Memory) *Holder {
	if memory == nil {
		memory = &inProcess{values: map[string]entry{}}
	}
	return &Holder{client: c, memory: memory}
}

// Decide says what must happen with a call now. It asks the person if that is needed, and does not wait for the answer. If the
// person approved the same call before and it did not run yet, it runs now.
//
// Every error means that the call must not run. Explain turns it into a text.
func (h *Holder) Decide(ctx context.Context, call Call) (Decision, error) {
	for range rounds {
		session := h.session(call.Person)
		need, err := h.client.CheckRequired(ctx, call.Person, call.Skill, session)
		if err != nil {
			return Decision{}, err
		}
		if !need.Required {
			return Decision{Run: true, Reason: need.Reason}, nil
		}
		decision, err := h.confirm(ctx, call, session, need.Reason == client.ReasonApprovalNeeded)
		if !errors.Is(err, errAgain) {
			return decision, err
		}
	}
	return Decision{}, errors.New("the policy or the approval changed while the call was decided")
}

// errAgain means that the decision must start again.
var errAgain = errors.New("the policy or the approval changed")

// confirm returns the decision about a call that needs a confirmation: of exactly this call, or of a session.
func (h *Holder) confirm(ctx context.Context, call Call, session client.Secret, exact bool) (Decision, error) {
	arguments, err := asked(call, exact)
	if err != nil {
		return Decision{}, err
	}
	key := memoryKey(call, arguments)
	if id := h.memory.Get(key); id != nil {
		approval, err := h.client.Get(ctx, string(id))
		switch {
		case errors.Is(err, client.NotFound), err == nil && (approval.Status == client.StatusUsed || approval.Status == client.StatusExpired || approval.Status == client.StatusCancelled):
			h.memory.Delete(key)
		case err != nil:
			return Decision{}, err
		default:
			return h.answered(ctx, call, key, arguments, approval)
		}
	}
	approval, err := h.client.Ask(ctx, client.Action{
		Customer: call.Person.Customer, Identity: call.Person.Identity, Skill: call.Skill, Arguments: arguments, Audience: call.Audience,
		Session: session,
	})
	if err != nil {
		return Decision{}, err
	}
	if approval.Status == client.StatusNotRequired {
		return Decision{Run: true, Reason: approval.Reason}, nil
	}
	if approval.Grants != "session" && !exact {
		// The arguments were not sent, so the person would approve another call.
		return Decision{}, errors.Join(errAgain, h.client.Cancel(ctx, approval.ID))
	}
	h.memory.Put(key, []byte(approval.ID), approval.ExpiresAt.Add(keepAnswered))
	return Decision{Waiting: true, Held: true, Approval: approval}, nil
}

// asked returns the canonical arguments that the person is asked about. Arguments are not sent for a session.
func asked(call Call, exact bool) (json.RawMessage, error) {
	if !exact {
		return json.RawMessage("{}"), nil
	}
	canonical, err := action.Canonical(call.Arguments)
	return json.RawMessage(canonical), err
}

// Await waits until the person has answered a Decision that is Waiting, or ctx ends. At the end of ctx, the Decision is Waiting again
// and the approval stays; Decide or Await continues later.
func (h *Holder) Await(ctx context.Context, call Call, waiting client.Approval) (Decision, error) {
	exact := waiting.Grants != "session"
	arguments, err := asked(call, exact)
	if err != nil {
		return Decision{}, err
	}
	approval, err := h.client.Wait(ctx, waiting.ID)
	if err != nil && ctx.Err() != nil {
		return Decision{Waiting: true, Held: true, Approval: waiting}, nil
	}
	if err != nil {
		return Decision{}, err
	}
	decision, err := h.answered(ctx, call, memoryKey(call, arguments), arguments, approval)
	if errors.Is(err, errAgain) { // another call used the approval
		return h.Decide(ctx, call)
	}
	return decision, err
}

// Find returns an approval of an earlier Decision by its id. The Decision about it comes from Await.
func (h *Holder) Find(ctx context.Context, id string) (client.Approval, error) {
	return h.client.Get(ctx, id)
}

// Cancel ends the approval of a Decision that is Waiting.
func (h *Holder) Cancel(ctx context.Context, call Call, waiting client.Approval) error {
	if arguments, err := asked(call, waiting.Grants != "session"); err == nil {
		h.memory.Delete(memoryKey(call, arguments))
	}
	return h.client.Cancel(ctx, waiting.ID)
}

// answered returns the decision that follows from the state of an approval. It uses an approval that the person gave.
func (h *Holder) answered(ctx context.Context, call Call, key string, arguments json.RawMessage, approval client.Approval) (Decision, error) {
	switch approval.Status {
	case client.StatusPending:
		return Decision{Waiting: true, Held: true, Approval: approval}, nil
	case client.StatusApproved:
	default:
		h.memory.Delete(key)
		return Decision{}, &client.Refusal{Code: client.Code("approval_" + approval.Status), Reason: approval.Reason}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTime)
	defer cancel()
	used, err := h.client.Use(ctx, approval.ID, client.NewUseID(), arguments)
	if err != nil && !errors.Is(err, client.Used) {
		return Decision{}, err
	}
	h.memory.Delete(key)
	if err != nil {
		return Decision{}, errAgain
	}
	if token := used.Session.Reveal(); token != "" {
		h.memory.Put(sessionKey(call.Person), []byte(token), used.SessionExpiresAt)
		return Decision{Run: true, Held: true}, nil
	}
	if used.ActionHash != approval.ActionHash {
		return Decision{}, errors.New("the receipt is about another action")
	}
	return Decision{Run: true, Held: true, Receipt: used.Receipt, Arguments: used.Arguments}, nil
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

// memoryKey identifies the question that the person is asked.
func memoryKey(call Call, arguments json.RawMessage) string {
	return "approval:" + digest(call.Person.Customer, call.Person.Identity, action.Lower(call.Skill), call.Audience, string(arguments))
}

// digest is the SHA-256 of texts, with their lengths.
func digest(texts ...string) string {
	hash := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(hash, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// inProcess is a Memory that ends with the process.
type inProcess struct {
	mu     sync.Mutex
	values map[string]entry
	purged time.Time
}

type entry struct {
	value []byte
	until time.Time
}

func (m *inProcess) Get(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, found := m.values[key]; found && time.Now().Before(e.until) {
		return e.value
	}
	return nil
}

func (m *inProcess) Put(key string, value []byte, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.purged) > time.Minute {
		m.purged = now
		for key, e := range m.values {
			if now.After(e.until) {
				delete(m.values, key)
			}
		}
	}
	m.values[key] = entry{value, until}
}

func (m *inProcess) Delete(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
}
