// Package mcpguard holds calls of the tools of a Go MCP server (github.com/modelcontextprotocol/go-sdk) until the person has approved
// exactly that call with the PIN. Wrap the handler of each tool. Whether a call needs an approval is decided by Countersign's policy,
// for every call, so wrap harmless tools too.
//
//	guard, err := mcpguard.New(mcpguard.Config{Countersign: countersign, Customer: customer})
//	…
//	server.AddTool(tool, guard.Tool("payments.transfer", transfer))
//	mcp.AddTool(server, other, mcpguard.For(guard, "payments.refund", refund)) // a handler with types
//
// The person gets the link to the question in the best way that the client of the MCP server supports:
//
//  1. URL elicitation. A client of protocol version 2026-07-28 gets an input request; an older one gets the request
//     elicitation/create. That the client accepts proves nothing: only the answer of Countersign counts.
//  2. Progress notifications with the link, if the client sent a progress token. The call waits meanwhile.
//  3. A text, with the mark isError: the call was not executed, the link, and "call again with the same arguments".
//
// The handler runs once for each approval, with exactly the approved arguments. FromContext returns the receipt, for servers that
// verify it. A handler may itself ask for input (InputRequests, RequestState). Then the next request continues the same approved
// call, once, in the same process. In another process, or after ten minutes, the person is asked again. The person approves the
// arguments only: not the input that the client sends for the handler, and not _meta.
//
// Over HTTP, set StreamableHTTPOptions.PropagateRequestCancellation. Without it, the SDK does not end a call of version 2026-07-28
// when its client is gone. Then the call runs if the person approves it while it waits.
//
// Everything that is not understood runs nothing: Countersign cannot be reached, the person is not known, the state is not of this
// call.
package mcpguard

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
)

const (
	defaultWait = 50 * time.Second
	longestWait = 10 * time.Minute
)

// Config says how a Guard asks. Countersign, and one of Customer and Person, must be set.
type Config struct {
	Countersign client.Config
	// Customer is the id of the person, for a server that serves one person.
	Customer string
	// Person returns the person of a call, for a server that serves several. Take it from verified data, such as
	// req.Extra.TokenInfo, and never from the arguments. An error, or an empty Customer, means that the call does not run.
	Person func(context.Context, *mcp.CallToolRequest) (client.Person, error)
	// Audience names the server that verifies the receipt. Empty means the audience that the skill is registered with.
	Audience string
	// Wait is how long a call waits for the person before it is answered with a text. 0 means 50 s; the longest is 10 minutes.
	// Clients end calls that take too long; the limit of many is 60 s.
	Wait time.Duration
	// Log gets one line for each call that was held. It has no arguments and no secrets. Nil means no log.
	Log *slog.Logger
}

// Guard holds calls. Several goroutines may use it. A server needs one Guard.
type Guard struct {
	holder    *hold.Holder
	sealer    *hold.Sealer
	person    func(context.Context, *mcp.CallToolRequest) (client.Person, error)
	audience  string
	wait      time.Duration
	pace      time.Duration // of progress notifications
	log       *slog.Logger
	continued continuations
}

// New returns a Guard. It sends nothing.
func New(c Config) (*Guard, error) {
	countersign, err := client.New(c.Countersign)
	if err != nil {
		return nil, err
	}
	sealer, err := hold.NewSealer(c.Countersign.ProxyKey)
	if err != nil {
		return nil, err
	}
	if (c.Customer == "") == (c.Person == nil) {
		return nil, errors.New("exactly one of the fields Customer and Person must be set")
	}
	if c.Wait < 0 || c.Wait > longestWait {
		return nil, errors.New("the field Wait must be between 0 and 10 minutes")
	}
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	if c.Person == nil {
		one := client.Person{Customer: c.Customer}
		c.Person = func(context.Context, *mcp.CallToolRequest) (client.Person, error) { return one, nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Guard{
		holder: hold.New(countersign, nil), sealer: sealer, person: c.Person, audience: c.Audience, wait: c.Wait, pace: progressPause, log: c.Log,
	}, nil
}

// Tool returns a handler for Server.AddTool that runs handler when the policy or the person allows the call. skill is the name that
// the policy judges. The person sees all arguments with their exact names. encoding/json does not distinguish "to" and "To": a
// handler that decodes with it can obey the one while the summary shows the other. mcp.AddTool distinguishes them, so prefer For.
func (g *Guard) Tool(skill string, handler mcp.ToolHandler) mcp.ToolHandler {
	return func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		run, question, err := g.hold(ctx, skill, req)
		var reason notExecuted
		if errors.As(err, &reason) {
			var result mcp.CallToolResult
			result.SetError(reason)
			return &result, nil
		}
		if run == nil {
			return question, err
		}
		result, err := handler(run.ctx, run.req)
		return g.passOn(run, result), err
	}
}

// For is Tool for a handler with types, for mcp.AddTool. The person approves the arguments that were sent. The handler also gets the
// default values of the tool's schema.
func For[In, Out any](g *Guard, skill string, handler mcp.ToolHandlerFor[In, Out]) mcp.ToolHandlerFor[In, Out] {
	return func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, Out, error) {
		run, question, err := g.hold(ctx, skill, req)
		if run == nil { // the SDK turns an error into a result with the mark isError
			var none Out
			return question, none, err
		}
		result, out, err := handler(run.ctx, run.req, in)
		return g.passOn(run, result), out, err
	}
}

type contextKey struct{}

// FromContext returns the confirmation of the call that a wrapped handler runs. Its Receipt is set if the person approved exactly
// this call; otherwise it is NotRequired, because of the policy or a session. The result is false outside of such a handler.
func FromContext(ctx context.Context) (client.Confirmation, bool) {
	confirmation, found := ctx.Value(contextKey{}).(client.Confirmation)
	return confirmation, found
}
