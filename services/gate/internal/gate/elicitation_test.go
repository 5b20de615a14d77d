package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// legacy is a client of MCP 2025-11-25 with URL elicitation.
var legacy = Caller{Person: person.Person, Version: withURLElicitation, URLElicitation: true}

// elicitation reads the next message to the client. It must be an elicitation with a link.
func elicitation(t *testing.T, to receiver) (requestID json.RawMessage, elicitationID string) {
	t.Helper()
	m := receive(t, to.sent)
	var params map[string]string
	if err := json.Unmarshal(m.Params, &params); err != nil || m.Method != "elicitation/create" || !m.IsRequest() {
		t.Fatalf("the client got %s", m.Raw)
	}
	if params["mode"] != "url" || !strings.HasPrefix(params["url"], clienttest.Link) || params["elicitationId"] == "" || !strings.Contains(params["message"], "transfer") {
		t.Errorf("the client got %s", m.Raw)
	}
	return m.ID, params["elicitationId"]
}

// respond delivers the client's response to a request of the gate.
func respond(t *testing.T, g *Gate, from Caller, id json.RawMessage, rest string) {
	t.Helper()
	m, err := message.Parse(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,%s}`, id, rest))
	if err != nil {
		t.Fatal(err)
	}
	if !g.Deliver(from, m) {
		t.Errorf("%s is for the server", m.Raw)
	}
}

const accept = `"result":{"action":"accept"}`

func TestElicitationEndsWhenThePersonApproved(t *testing.T) {
	t.Parallel()
	for name, accepted := range map[string]bool{"after accept": true, "the client did not answer": false} {
		d, g := start(t)
		to := newReceiver()
		verdict := judge(t.Context(), g, legacy, transfer(t), to)
		id, elicitationID := elicitation(t, to)
		if accepted {
			respond(t, g, legacy, id, accept)
		}
		d.Decide("approved")
		executed(t, d, receive(t, verdict))
		if !accepted {
			if m := receive(t, to.sent); m.Method != "notifications/cancelled" || !strings.Contains(string(m.Params), string(id)) {
				t.Errorf("%s: the client got %s", name, m.Raw)
			}
		}
		if m := receive(t, to.sent); m.Method != "notifications/elicitation/complete" || !strings.Contains(string(m.Params), elicitationID) {
			t.Errorf("%s: the client got %s", name, m.Raw)
		}
		if len(to.sent) != 0 || len(g.elicited) != 0 {
			t.Errorf("%s: %d more messages, %d requests are kept", name, len(to.sent), len(g.elicited))
		}
	}
}

func TestAcceptOpensNothing(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	to := newReceiver()
	waits := polled(d)
	verdict := judge(t.Context(), g, legacy, transfer(t), to)
	id, _ := elicitation(t, to)
	receive(t, waits)
	respond(t, g, legacy, id, `"result":{"action":"accept","content":{"approved":true}}`)
	respond(t, g, legacy, id, accept)
	d.Decide("denied")
	if a := read(t, receive(t, verdict)); !strings.Contains(a.text(), "denied") || d.Approvals()[0].Status != "denied" {
		t.Errorf("%+v", a)
	}
}

func TestDeclineCancelsTheApproval(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"decline", "cancel"} {
		d, g := start(t)
		to := newReceiver()
		verdict := judge(t.Context(), g, legacy, transfer(t), to)
		id, _ := elicitation(t, to)
		respond(t, g, legacy, id, `"result":{"action":"`+action+`"}`)
		a := read(t, receive(t, verdict))
		if !a.Result.IsError || !strings.Contains(a.text(), "declined") || d.Approvals()[0].Status != "cancelled" || counted(g, "cancelled") != 1 {
			t.Errorf("%s: %+v, %+v", action, a, d.Approvals())
		}
	}
}

func TestClientThatCannotElicitGetsTheNextStep(t *testing.T) {
	t.Parallel()
	for _, response := range []string{`"error":{"code":-32601,"message":"Method not found"}`, `"result":{}`, `"result":{"action":"maybe"}`, `"result":null`} {
		d, g := start(t)
		to := newReceiver()
		verdict := judge(t.Context(), g, legacy, transfer(t, `,"_meta":{"progressToken":"p"}`), to)
		id, _ := elicitation(t, to)
		respond(t, g, legacy, id, response)
		if m := receive(t, to.sent); m.Method != "notifications/progress" || !strings.Contains(string(m.Params), clienttest.Link) {
			t.Errorf("%s: the client got %s", response, m.Raw)
		}
		d.Decide("approved")
		executed(t, d, receive(t, verdict))

		verdict = judge(t.Context(), g, legacy, transfer(t), to)
		id, _ = elicitation(t, to)
		respond(t, g, legacy, id, response)
		if a := read(t, receive(t, verdict)); !strings.Contains(a.text(), clienttest.Link) {
			t.Errorf("%s: %+v", response, a)
		}
	}
}

// broken is a Client to which nothing can be sent.
type broken struct{}

func (broken) CanReceive() bool  { return true }
func (broken) Send([]byte) error { return errors.New("broken") }

func TestClientThatCannotBeReachedGetsTheText(t *testing.T) {
	t.Parallel()
	_, g := start(t)
	if a := read(t, g.Judge(t.Context(), legacy, transfer(t, `,"_meta":{"progressToken":"p"}`), broken{})); !strings.Contains(a.text(), clienttest.Link) {
		t.Errorf("%+v", a)
	}
}

func TestElicitationEndsWithTheWait(t *testing.T) {
	t.Parallel()
	d, g := start(t, func(c *Config) { c.Wait = 50 * time.Millisecond })
	to := newReceiver()
	verdict := judge(t.Context(), g, legacy, transfer(t), to)
	id, _ := elicitation(t, to)
	if a := read(t, receive(t, verdict)); !strings.Contains(a.text(), clienttest.Link) || d.Approvals()[0].Status != "pending" {
		t.Errorf("%+v", a)
	}
	if m := receive(t, to.sent); m.Method != "notifications/cancelled" || !strings.Contains(string(m.Params), string(id)) || len(to.sent) != 0 {
		t.Errorf("the client got %s and %d more messages", m.Raw, len(to.sent))
	}
	respond(t, g, legacy, id, accept) // too late: dropped
}

func TestDeliverTakesOnlyResponsesToTheGate(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	to := newReceiver()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	verdict := judge(ctx, g, legacy, transfer(t), to)
	id, _ := elicitation(t, to)

	other := Caller{Person: client.Person{Customer: "another"}}
	respond(t, g, other, id, `"result":{"action":"decline"}`)
	respond(t, g, legacy, json.RawMessage(`"countersign-unknown"`), `"result":{"action":"decline"}`)
	for raw, want := range map[string]bool{
		`{"jsonrpc":"2.0","id":"c1","result":{}}`:                                              false,
		`{"jsonrpc":"2.0","id":7,"result":{}}`:                                                 false,
		`{"jsonrpc":"2.0","id":null,"result":{}}`:                                              false,
		`{"jsonrpc":"2.0","error":{}}`:                                                         false,
		`{"jsonrpc":"2.0","id":"countersign","result":{}}`:                                     false,
		`{"jsonrpc":"2.0","id":` + string(id) + `,"method":"ping"}`:                            false,
		`{"jsonrpc":"2.0","id":"\u0063ountersign-1","result":{}}`:                              true,
		`{"jsonrpc":"2.0","id":"countersign-1","error":{"code":-32800,"message":"cancelled"}}`: true,
	} {
		m, err := message.Parse([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Deliver(legacy, m); got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
	d.Decide("approved")
	executed(t, d, receive(t, verdict))
}
