package mcpguard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/hold"
)

const (
	// The beginnings of the guard's own request states: a call that waits for the person, and an approved call whose handler asked for
	// input. A text without them belongs to the handler.
	waitingPrefix  = "csg1."
	continuePrefix = "csg2."
	purpose        = "mcpguard: call that waits"
	// keepState is how much longer than the time for an answer a call can be continued.
	keepState = 3 * time.Minute
	// continueWithin is how long a handler can wait for its own input.
	continueWithin = 10 * time.Minute
)

// errState is the answer to a request state that is not of this call. It is a protocol error.
var errState = &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the requestState is not valid for this call"}

// pending is a call that waits for the person. The client keeps it, sealed.
type pending struct {
	// Approval is empty if the call did not wait yet.
	Approval string `json:"a"`
	Bound    string `json:"b"`
	// State and Responses came with the call, for its handler.
	State     string               `json:"s,omitempty"`
	Responses mcp.InputResponseMap `json:"r,omitempty"`
}

// bind returns a text that is the same for the same call only. Arguments that have no canonical form are compared as they were sent.
func bind(call hold.Call, tool string) string {
	arguments, err := action.Canonical(call.Arguments)
	if err != nil {
		arguments = "sent:" + string(call.Arguments)
	}
	hash := sha256.New()
	for _, text := range []string{call.Person.Customer, call.Person.Identity, call.Skill, call.Audience, tool, arguments} {
		fmt.Fprintf(hash, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// readState reads the request state of a call: what the call waits for, or the continuation of its execution.
func (g *Guard) readState(params *mcp.CallToolParamsRaw, bound string) (pending, *continuation, error) {
	if text, found := strings.CutPrefix(params.RequestState, waitingPrefix); found {
		var sent pending
		if g.sealer.Open(purpose, text, &sent) != nil || sent.Bound != bound {
			return pending{}, nil, errState
		}
		return sent, nil, nil
	}
	if strings.HasPrefix(params.RequestState, continuePrefix) {
		if next := g.continued.take(params.RequestState, bound); next != nil {
			return pending{}, next, nil
		}
		return pending{}, nil, errState
	}
	return pending{State: params.RequestState, Responses: params.InputResponses}, nil, nil
}

func (g *Guard) seal(p pending, expires time.Time) (string, error) {
	text, err := g.sealer.Seal(purpose, p, expires.Add(keepState))
	return waitingPrefix + text, err
}

// continuation is an approved call whose handler waits for input.
type continuation struct {
	bound string
	// state is the handler's own request state.
	state        string
	confirmation client.Confirmation
	until        time.Time
}

// continuations keeps the approved calls whose handlers wait for input. Each can be taken once.
type continuations struct {
	mu   sync.Mutex
	byID map[string]continuation
}

// add returns a request state that nobody can guess.
func (c *continuations) add(next continuation) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for id, old := range c.byID {
		if now.After(old.until) {
			delete(c.byID, id)
		}
	}
	if c.byID == nil {
		c.byID = map[string]continuation{}
	}
	next.until = now.Add(continueWithin)
	id := continuePrefix + rand.Text()
	c.byID[id] = next
	return id
}

// take returns the continuation of a call, or nil. Another call does not use it up.
func (c *continuations) take(id, bound string) *continuation {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, found := c.byID[id]
	if !found || next.bound != bound || time.Now().After(next.until) {
		return nil
	}
	delete(c.byID, id)
	return &next
}
