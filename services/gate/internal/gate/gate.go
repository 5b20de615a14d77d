// Package gate decides what happens to the calls of tools: which of them run at once, how the person gets the link for the others,
// and what the client reads until the person has answered.
package gate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// Caller is the sender of a call.
type Caller struct {
	// Person is on whose behalf the client acts.
	Person client.Person
	// Version is the protocol version that initialize agreed on, or empty (2026-07-28 and later have no initialize).
	Version string
	// URLElicitation is true if the client's capabilities in initialize contain elicitation.url.
	URLElicitation bool
}

// Client is the way to the client of one call, while its answer is not sent. There is one implementation for each transport.
type Client interface {
	// CanReceive reports whether messages can be sent before the answer.
	CanReceive() bool
	// Send sends a request or a notification.
	Send(message []byte) error
}

// Verdict is what the transport must do with a call. Forward and Answer are both nil if nothing must be sent, because the client
// cancelled the call or is gone.
type Verdict struct {
	// Forward is sent to the server.
	Forward []byte
	// Answer is sent to the client, and nothing to the server.
	Answer []byte
	// Response returns what the client gets instead of the server's response to Forward. Nil: the response is not changed.
	Response func(response []byte) []byte
}

// Judge is what a transport needs of a Gate.
type Judge interface {
	// Judge decides about a call. It may wait for the person. ctx ends when the client cancels the call or is gone.
	Judge(ctx context.Context, from Caller, call message.Call, to Client) Verdict
	// Deliver takes a response of a client to a request that the gate sent. It returns false if the gate sent no such request; then
	// the response is for the server.
	Deliver(from Caller, response message.Message) bool
}

// Config says how a Gate decides. Holder, Sealer, Log and Metrics must be set.
type Config struct {
	Holder *hold.Holder
	Sealer *hold.Sealer
	// Wait is how long a call waits for the person before it is answered. 0 means that no call waits.
	Wait time.Duration
	// BestStep is the best step of the ladder that the gate may use. The zero value allows all.
	BestStep Step
	// Audience is as in hold.Call.
	Audience string
	// SkillPrefix and the name of the tool are the name of the skill.
	SkillPrefix string
	Log         *slog.Logger
	Metrics     *Metrics
	// Approved is called when a call was approved, before it is forwarded. Nil: nothing is called.
	Approved func(tool string)
}

// Gate is the Judge. Several goroutines may use it.
type Gate struct {
	Config
	executions executions
	// progressPause is the time between two progress notifications.
	progressPause time.Duration
	// deciding has one element for each call that asks Countersign now. Each of them needs a connection and its memory.
	deciding chan struct{}
	// decideTime limits the questions to Countersign before a call waits for the person.
	decideTime time.Duration

	mu       sync.Mutex
	elicited map[string]elicited
}

var _ Judge = (*Gate)(nil)

// New returns a Gate.
func New(c Config) *Gate {
	return &Gate{
		Config: c, executions: executions{values: map[string]keptExecution{}}, elicited: map[string]elicited{},
		progressPause: 5 * time.Second, decideTime: 10 * time.Second, deciding: make(chan struct{}, maxDeciding),
	}
}

// maxDeciding is how many calls ask Countersign at the same time. It is below the connections that the client keeps open.
const maxDeciding = 32

// request is one call, while the gate decides about it.
type request struct {
	from Caller
	to   Client
	// call has the requestState and the inputResponses that are for the server.
	call message.Call
	// state is what was in the client's requestState if the gate made it, and nil otherwise.
	state *state
	// answer is the action in the client's answer to the question of the gate, if state has one.
	answer string
	held   hold.Call
	began  time.Time
	// notified is how many progress notifications were sent.
	notified int
}

func (g *Gate) request(from Caller, call message.Call, to Client) *request {
	return &request{from: from, to: to, call: call, began: time.Now(), held: hold.Call{
		Person: from.Person, Skill: g.SkillPrefix + call.Tool, Arguments: call.Arguments, Audience: g.Audience,
	}}
}

// Judge implements the interface Judge. Only a Decision with Run lets a call pass.
func (g *Gate) Judge(ctx context.Context, from Caller, call message.Call, to Client) Verdict {
	r := g.request(from, call, to)
	if err := g.openState(r); err != nil {
		return g.refuse(r, hold.Decision{}, err)
	}
	if approved, found := g.continued(ctx, r); found {
		g.record(r, "approved", hold.Decision{Held: true}, nil)
		return g.execute(r, approved)
	}
	decision, err := g.decide(ctx, r)
	if err == nil && decision.Waiting {
		decision, err = g.climb(ctx, r, decision)
	}
	switch {
	case ctx.Err() != nil:
		g.record(r, "cancelled", decision, ctx.Err())
		return Verdict{}
	case err != nil:
		return g.refuse(r, decision, err)
	case decision.Waiting:
		return g.ask(r, decision)
	case !decision.Run: // the contract of hold excludes this
		return g.refuse(r, decision, errors.New("the decision is neither to run nor to wait"))
	case decision.Receipt.Reveal() == "":
		return g.pass(r, decision)
	}
	if g.Approved != nil {
		g.Approved(call.Tool)
	}
	g.record(r, "approved", decision, nil)
	return g.execute(r, execution{arguments: decision.Arguments, receipt: decision.Receipt})
}

// decide returns what must happen with a call now.
func (g *Gate) decide(ctx context.Context, r *request) (hold.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, g.decideTime)
	defer cancel()
	defer g.Metrics.checked(r.began)
	select {
	case g.deciding <- struct{}{}:
		defer func() { <-g.deciding }()
	case <-ctx.Done():
		return hold.Decision{}, ctx.Err()
	}
	if r.state == nil || r.state.Approval == "" {
		return g.Holder.Decide(ctx, r.held)
	}
	if r.answer == "decline" || r.answer == "cancel" {
		return hold.Decision{}, g.decline(ctx, r, client.Approval{ID: r.state.Approval, Grants: r.state.Grants})
	}
	// The approval is found by its id, because another replica may have asked for it.
	approval, err := g.Holder.Find(ctx, r.state.Approval)
	switch {
	case errors.Is(err, client.NotFound):
		return g.Holder.Decide(ctx, r.held)
	case err != nil:
		return hold.Decision{}, err
	case approval.Status == client.StatusPending:
		return hold.Decision{Waiting: true, Held: true, Approval: approval}, nil
	}
	return g.Holder.Await(ctx, r.held, approval)
}

// pass forwards a call that runs without a receipt, as it was sent. A receipt that the client put into it stays: it proves nothing
// to a server that verifies it.
func (g *Gate) pass(r *request, decision hold.Decision) Verdict {
	label := "open"
	if decision.Held || decision.Reason == client.ReasonSessionActive {
		label = "session"
	}
	g.record(r, label, decision, nil)
	if r.state == nil {
		return Verdict{Forward: r.call.Raw}
	}
	return Verdict{Forward: r.call.Forward("", "", r.call.RequestState, r.call.InputResponses)}
}

// execute forwards an approved call with exactly the approved arguments.
func (g *Gate) execute(r *request, approved execution) Verdict {
	verdict := Verdict{Forward: r.call.Forward(approved.arguments, approved.receipt.Reveal(), r.call.RequestState, r.call.InputResponses)}
	if r.modern() { // only then can the server answer with a request for inputs
		verdict.Response = g.wrap(r.identity(), approved)
	}
	return verdict
}
