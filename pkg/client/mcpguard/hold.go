package mcpguard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
)

// decideTime limits what does not wait for the person.
const decideTime = 30 * time.Second

// notExecuted is the text for the model about a call that did not run.
type notExecuted string

func (n notExecuted) Error() string { return string(n) }

// execution is a call that may run now, once.
type execution struct {
	ctx          context.Context
	req          *mcp.CallToolRequest
	bound        string
	confirmation client.Confirmation
}

// hold decides about a call. Exactly one of the results is set: the execution, a question to the client, or an error. The error is
// notExecuted, or a protocol error.
func (g *Guard) hold(ctx context.Context, skill string, req *mcp.CallToolRequest) (*execution, *mcp.CallToolResult, error) {
	start := time.Now()
	who, err := g.identify(ctx, req)
	if err != nil {
		g.log.Error("the person of a call is not known", "tool", req.Params.Name, "error", err)
		return nil, nil, notExecuted(hold.NotExecuted + "This server does not know on whose behalf the call is.")
	}
	call := hold.Call{Person: who, Skill: skill, Arguments: req.Params.Arguments, Audience: g.audience}
	if bytes.Equal(call.Arguments, []byte("null")) {
		call.Arguments = nil
	}
	bound := bind(call, req.Params.Name)
	sent, next, err := g.readState(req.Params, bound)
	if err != nil {
		return nil, nil, err
	}
	if next != nil { // the handler asked for input, and gets it now
		return g.run(ctx, req, bound, next.confirmation, pending{State: next.state, Responses: req.Params.InputResponses}), nil, nil
	}
	decision, err := g.decide(ctx, call, req, sent)
	if err == nil && decision.Waiting && elicits(req) && modern(req) {
		g.note(start, req, "waiting", decision.Approval.ID)
		question, err := g.inputRequest(req, decision.Approval, sent, bound)
		return nil, question, err
	}
	if err == nil && decision.Waiting {
		decision, err = g.ask(ctx, call, req, decision)
	}
	switch {
	case errors.Is(err, errDeclined):
		g.note(start, req, "declined", decision.Approval.ID)
		return nil, nil, notExecuted(hold.NotExecuted + "The person declined to open the link, and the approval was cancelled. Do not try it again unless they ask for it.")
	case err != nil:
		g.note(start, req, "refused", decision.Approval.ID, slog.Any("error", err))
		return nil, nil, notExecuted(hold.Explain(err))
	case decision.Waiting:
		g.note(start, req, "waiting", decision.Approval.ID)
		return nil, nil, notExecuted(hold.Ask(req.Params.Name, decision.Approval))
	case decision.Held:
		g.note(start, req, "confirmed", decision.Approval.ID)
	}
	return g.run(ctx, req, bound, confirmation(decision), sent), nil, nil
}

// identify returns the person of a call.
func (g *Guard) identify(ctx context.Context, req *mcp.CallToolRequest) (client.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, decideTime)
	defer cancel()
	who, err := g.person(ctx, req)
	if err == nil && who.Customer == "" {
		err = errors.New("the function Person returned no customer")
	}
	return who, err
}

// decide returns the decision about a call. If it continues a call that waited, it waits for the person.
func (g *Guard) decide(ctx context.Context, call hold.Call, req *mcp.CallToolRequest, sent pending) (hold.Decision, error) {
	limited, cancel := context.WithTimeout(ctx, decideTime)
	defer cancel()
	if sent.Approval == "" {
		return g.holder.Decide(limited, call)
	}
	approval, err := g.holder.Find(limited, sent.Approval)
	if errors.Is(err, client.NotFound) {
		return g.holder.Decide(limited, call)
	}
	if err != nil {
		return hold.Decision{}, err
	}
	if answer, ok := req.Params.InputResponses[inputKey].(*mcp.ElicitResult); ok && answer.Action != "accept" {
		return hold.Decision{Approval: approval}, errors.Join(errDeclined, g.holder.Cancel(ctx, call, approval))
	}
	waiting, stop := context.WithTimeout(ctx, g.wait)
	defer stop()
	return g.holder.Await(waiting, call, approval)
}

func confirmation(d hold.Decision) client.Confirmation {
	return client.Confirmation{
		NotRequired: d.Receipt.Reveal() == "", Reason: d.Reason, ApprovalID: d.Approval.ID, ActionHash: d.Approval.ActionHash,
		Receipt: d.Receipt, Arguments: d.Arguments,
	}
}

// run returns the execution of a call. An approved call runs with the approved arguments, and another one as it was sent. The handler
// does not see what the guard and the client exchanged.
func (g *Guard) run(ctx context.Context, req *mcp.CallToolRequest, bound string, c client.Confirmation, sent pending) *execution {
	again, params := *req, *req.Params
	params.RequestState, params.InputResponses = sent.State, sent.Responses
	if c.Receipt.Reveal() != "" {
		params.Arguments = json.RawMessage(c.Arguments)
	}
	again.Params = &params
	return &execution{context.WithValue(ctx, contextKey{}, c), &again, bound, c}
}

// passOn returns the result of a handler. If an approved call needs input, the next request of the client continues it.
func (g *Guard) passOn(run *execution, result *mcp.CallToolResult) *mcp.CallToolResult {
	if result == nil || result.InputRequests == nil || run.confirmation.Receipt.Reveal() == "" {
		return result
	}
	wrapped := *result
	wrapped.RequestState = g.continued.add(continuation{bound: run.bound, state: result.RequestState, confirmation: run.confirmation})
	return &wrapped
}

func (g *Guard) note(start time.Time, req *mcp.CallToolRequest, decision, approval string, more ...any) {
	g.log.Info("held call", append([]any{"tool", req.Params.Name, "decision", decision, "approval", approval, "seconds", time.Since(start).Seconds()}, more...)...)
}
