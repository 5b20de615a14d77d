package mcpguard

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
)

const (
	// firstModern is the first protocol version in which a server asks with input requests, and not with requests of its own.
	firstModern = "2026-07-28"
	// inputKey is the name of the guard's input request.
	inputKey = "countersign"
	// progressPause is the pause between progress notifications. Some clients end a call that is silent for some seconds.
	progressPause = 5 * time.Second
)

// errDeclined means that the client said that the person did not open the link. A client can always refuse its own call.
var errDeclined = errors.New("the client declined the elicitation")

// errNotShown means that the client answered the elicitation with an error.
var errNotShown = errors.New("the client cannot show the link")

// elicits reports whether the client can show a link.
func elicits(req *mcp.CallToolRequest) bool {
	can := req.ClientCapabilities()
	return can != nil && can.Elicitation != nil && can.Elicitation.URL != nil
}

// modern reports whether the client gets an input request. It is the same condition as in the SDK, which otherwise sends the input
// request of a handler to the client itself.
func modern(req *mcp.CallToolRequest) bool {
	agreed := req.Session.InitializeParams()
	return agreed == nil || agreed.ProtocolVersion >= firstModern
}

func elicitation(req *mcp.CallToolRequest, approval client.Approval) *mcp.ElicitParams {
	text := "The call of " + req.Params.Name + " needs your approval."
	if approval.Summary != "" {
		text += " " + approval.Summary
	}
	return &mcp.ElicitParams{Mode: "url", URL: approval.URL.Reveal(), ElicitationID: "countersign-" + rand.Text(), Message: text}
}

// inputRequest returns the question for a client of version 2026-07-28 or later.
func (g *Guard) inputRequest(req *mcp.CallToolRequest, approval client.Approval, sent pending, bound string) (*mcp.CallToolResult, error) {
	sent.Approval, sent.Bound = approval.ID, bound
	state, err := g.seal(sent, approval.ExpiresAt)
	if err != nil {
		return nil, err
	}
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{inputKey: elicitation(req, approval)}, RequestState: state}, nil
}

// ask gives the link to the person in the best way that is left, and waits for the answer. If there is no other way than the text, the
// first call does not wait, so that the person gets the link at once.
func (g *Guard) ask(ctx context.Context, call hold.Call, req *mcp.CallToolRequest, d hold.Decision) (hold.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	if elicits(req) {
		got, err := g.elicit(ctx, call, req, d.Approval)
		if !errors.Is(err, errNotShown) {
			return got, err
		}
	}
	if token := req.Params.GetProgressToken(); token != nil {
		return g.progress(ctx, call, req, token, d.Approval)
	}
	if d.First {
		return d, nil
	}
	return g.holder.Await(ctx, call, d.Approval)
}

// elicit sends the request elicitation/create to an older client, and waits for the person.
func (g *Guard) elicit(ctx context.Context, call hold.Call, req *mcp.CallToolRequest, approval client.Approval) (hold.Decision, error) {
	waiting, end := context.WithCancelCause(ctx)
	question, done := elicitation(req, approval), make(chan struct{})
	go func() {
		defer close(done)
		answer, err := req.Session.Elicit(waiting, question)
		switch {
		case err != nil && waiting.Err() == nil:
			end(errNotShown)
		case err == nil && answer.Action != "accept":
			end(errDeclined)
		}
	}()
	got, err := g.holder.Await(waiting, call, approval)
	end(nil)
	<-done
	switch cause := context.Cause(waiting); {
	case err != nil || !got.Waiting || got.Approval.ID != approval.ID: // the question on the page is answered
		_ = req.Session.NotifyElicitationComplete(ctx, &mcp.ElicitationCompleteParams{ElicitationID: question.ElicitationID})
	case errors.Is(cause, errDeclined):
		return got, errors.Join(errDeclined, g.holder.Cancel(ctx, call, approval))
	case errors.Is(cause, errNotShown):
		return got, errNotShown
	}
	return got, err
}

// progress sends the link in progress notifications until the person has answered. The values are negative, because values must
// increase, and the first value of most handlers is 0.
func (g *Guard) progress(ctx context.Context, call hold.Call, req *mcp.CallToolRequest, token any, approval client.Approval) (hold.Decision, error) {
	waiting, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(g.pace)
		defer ticker.Stop()
		for n := 1; ; n++ {
			_ = req.Session.NotifyProgress(waiting, &mcp.ProgressNotificationParams{
				ProgressToken: token, Progress: float64(n)/1000 - 1,
				// The link comes first, because some clients cut long messages.
				Message: "Open " + approval.URL.Reveal() + " and answer there. The call waits for the approval of the person.",
			})
			select {
			case <-ticker.C:
			case <-waiting.Done():
				return
			}
		}
	}()
	got, err := g.holder.Await(waiting, call, approval)
	end()
	<-done
	return got, err
}
