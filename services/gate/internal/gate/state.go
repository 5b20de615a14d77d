package gate

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/services/gate/internal/message"
)

const (
	// statePrefix starts every requestState of the gate. Another requestState belongs to the server.
	statePrefix = "cst1."
	// statePurpose is the purpose for the Sealer.
	statePurpose = "requestState"
	// maxState is the greatest length of a requestState of the gate.
	maxState = 64 << 10
	// afterAnswer is how much longer a question's requestState is valid than its link: an approval can be used for two minutes.
	afterAnswer = 3 * time.Minute
	// continueTime is how long the client may take for the inputs that the server wants.
	continueTime = 10 * time.Minute
)

// state is what the gate keeps in a requestState. The client can neither read nor change it.
type state struct {
	// Call identifies the person, the tool and the arguments.
	Call string `json:"call"`
	// Approval is the approval that the person was asked for, and Grants what it grants.
	Approval string `json:"approval,omitempty"`
	Grants   string `json:"grants,omitempty"`
	// Execution is the approved call that the server answered with a request for inputs.
	Execution string `json:"execution,omitempty"`
	// RequestState and InputResponses are for the server.
	RequestState   *string         `json:"request_state,omitempty"`
	InputResponses json.RawMessage `json:"input_responses,omitempty"`
}

// stateError is a requestState that the gate cannot accept. Its text is shown to the client.
type stateError struct{ text string }

func (e *stateError) Error() string { return e.text }

// openState reads the client's requestState if the gate made it, and puts what is for the server in its place. Any other
// requestState is the server's and stays.
func (g *Gate) openState(r *request) error {
	if r.call.RequestState == nil || !strings.HasPrefix(*r.call.RequestState, statePrefix) {
		return nil
	}
	var s state
	text := strings.TrimPrefix(*r.call.RequestState, statePrefix)
	if len(text) > maxState || g.Sealer.Open(statePurpose, text, &s) != nil {
		return &stateError{"params.requestState is not valid or has expired; call again without it"}
	}
	if s.Call != r.identity() {
		return &stateError{"params.requestState belongs to another call; the person, the tool and the arguments must be the same"}
	}
	r.state = &s
	r.call.RequestState = s.RequestState
	if s.Approval != "" {
		r.answer, r.call.InputResponses = r.call.InputAction(inputKey), s.InputResponses
	}
	return nil
}

// identity is the hash of the person, the tool and the arguments.
func (r *request) identity() string {
	arguments, err := action.Canonical(r.call.Arguments)
	if err != nil { // the call may need only a session
		arguments = string(r.call.Arguments)
	}
	hash := sha256.New()
	for _, text := range []string{r.from.Person.Customer, r.from.Person.Identity, r.held.Skill, r.held.Audience, arguments} {
		fmt.Fprintf(hash, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// sealQuestion returns the requestState with which the client calls again when the person has the link.
func (g *Gate) sealQuestion(r *request, approval client.Approval) (string, error) {
	s := state{Call: r.identity(), Approval: approval.ID, Grants: approval.Grants, RequestState: r.call.RequestState, InputResponses: r.call.InputResponses}
	return g.seal(s, approval.ExpiresAt.Add(afterAnswer))
}

func (g *Gate) seal(s state, until time.Time) (string, error) {
	sealed, err := g.Sealer.Seal(statePurpose, s, until)
	if err != nil {
		return "", err
	}
	if sealed = statePrefix + sealed; len(sealed) > maxState {
		return "", &stateError{"params.requestState and params.inputResponses are too large to be kept while the person is asked"}
	}
	return sealed, nil
}

// wrap returns the function that changes the response of the server to an approved call. If the response asks for inputs, the client's
// next call continues the same execution without another approval, once, in this process: its requestState names the execution. A
// second response to the call, and every response that asks for nothing, stays as it is.
func (g *Gate) wrap(identity string, approved execution) func(response []byte) []byte {
	var wrapped atomic.Bool
	return func(response []byte) []byte {
		m, err := message.Parse(response)
		if err != nil {
			return response
		}
		upstream, asks := m.InputRequired()
		if !asks {
			return response
		}
		s := state{Call: identity, Execution: rand.Text(), RequestState: upstream}
		until := time.Now().Add(continueTime)
		sealed, err := g.seal(s, until)
		if err != nil { // the next call needs an approval, like every call with a requestState of the server
			g.Log.Warn("the requestState of the server was not wrapped", "reason", err.Error())
			return response
		}
		if wrapped.Swap(true) { // one approval must not give two executions
			return response
		}
		g.executions.put(s.Execution, approved, until)
		return m.WithRequestState(sealed)
	}
}

// continued returns the approved execution that a call continues. It does so once for each requestState, and not for a client that is
// gone.
func (g *Gate) continued(ctx context.Context, r *request) (execution, bool) {
	if r.state == nil || r.state.Execution == "" || ctx.Err() != nil {
		return execution{}, false
	}
	return g.executions.take(r.state.Execution)
}
