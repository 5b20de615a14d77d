package gate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/message"
)

const (
	// requestPrefix starts the ids of all requests that the gate sends to a client.
	requestPrefix = "countersign-"
	// inputKey is the key of the gate's request in inputRequests.
	inputKey = "countersign"
)

// errDeclined means that the client answered the elicitation with decline or cancel.
var errDeclined = errors.New("the link was declined")

// elicited is a request that the gate sent to a client.
type elicited struct {
	person client.Person
	answer chan message.Message // has room for the only response
}

// question returns the parameters of elicitation/create.
func question(r *request, approval client.Approval, id string) map[string]string {
	text := "The call of " + r.call.Tool + " needs your approval."
	if approval.Summary != "" {
		text += " " + approval.Summary
	}
	return map[string]string{"mode": "url", "message": text, "url": approval.URL.Reveal(), "elicitationId": id}
}

// elicit sends the link in an elicitation and waits for the person. The client's "accept" proves nothing, so only the answer of
// Countersign counts.
func (g *Gate) elicit(ctx context.Context, r *request, approval client.Approval) (hold.Decision, error) {
	requestID, id := requestPrefix+rand.Text(), client.NewUseID()
	answers := g.expect(requestID, r.from.Person)
	defer g.forget(requestID)
	if err := r.to.Send(message.Request(requestID, "elicitation/create", question(r, approval, id))); err != nil {
		return hold.Decision{}, errNextStep
	}
	outcomes, cancel := g.await(ctx, r, approval)
	defer cancel()
	for answered := false; ; {
		select {
		case o := <-outcomes:
			g.finish(ctx, r, requestID, id, answered, o)
			return o.decision, o.err
		case response := <-answers:
			answered = true
			action := message.Action(response.Result)
			if action == "accept" {
				continue
			}
			cancel()
			o := <-outcomes
			switch {
			case action == "decline" || action == "cancel":
				return hold.Decision{}, g.decline(ctx, r, approval)
			case o.err != nil || !o.decision.Waiting:
				return o.decision, o.err
			}
			return hold.Decision{}, errNextStep
		}
	}
}

// finish tells the client that its dialog can be closed. It sends nothing to a client that is gone.
func (g *Gate) finish(ctx context.Context, r *request, requestID, id string, answered bool, o outcome) {
	if gone(ctx) {
		return
	}
	if !answered {
		_ = r.to.Send(message.Notification("notifications/cancelled", map[string]string{"requestId": requestID, "reason": "The elicitation has ended."}))
	}
	if o.err != nil || o.decision.Run {
		_ = r.to.Send(message.Notification("notifications/elicitation/complete", map[string]string{"elicitationId": id}))
	}
}

// decline cancels an approval and returns errDeclined.
func (g *Gate) decline(ctx context.Context, r *request, approval client.Approval) error {
	return errors.Join(errDeclined, g.Holder.Cancel(ctx, r.held, approval))
}

func (g *Gate) expect(requestID string, from client.Person) <-chan message.Message {
	answer := make(chan message.Message, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.elicited[requestID] = elicited{from, answer}
	return answer
}

func (g *Gate) forget(requestID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.elicited, requestID)
}

// Deliver implements the interface Judge. A response that comes too late, twice, or from another person is dropped: the server did
// not send the request.
func (g *Gate) Deliver(from Caller, response message.Message) bool {
	var id string
	if !response.IsResponse() || json.Unmarshal(response.ID, &id) != nil || !strings.HasPrefix(id, requestPrefix) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, found := g.elicited[id]; found && e.person == from.Person {
		delete(g.elicited, id)
		e.answer <- response
	}
	return true
}
