package stdio

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// A response to another request, which contains a request for inputs, must not be taken for the response to an approved call. With the
// requestState of the gate in it, the client could run the approved call twice.
func TestResponseToAnEarlierRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	for name, earlier := range map[string]string{
		"a request": `{"jsonrpc":"2.0","id":1,"method":"prompts/get"}`, "a call": strings.TrimSpace(call("1", `{"open":1}`)),
		"1.0": `{"jsonrpc":"2.0","id":1.0,"method":"prompts/get"}`, "1.5": `{"jsonrpc":"2.0","id":1.5,"method":"prompts/get"}`,
		"1e0": `{"jsonrpc":"2.0","id":1e0,"method":"prompts/get"}`, "a text": `{"jsonrpc":"2.0","id":"\u0031","method":"prompts/get"}`,
		"[1]": `{"jsonrpc":"2.0","id":[1],"method":"prompts/get"}`,
	} {
		c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
			if strings.Contains(string(call.Arguments), "open") {
				return gate.Verdict{Forward: call.Raw}
			}
			return gate.Verdict{Forward: call.Raw, Response: func([]byte) []byte { return []byte(`"` + name + `"`) }}
		}})
		for _, line := range []string{earlier + "\n", call("2", "{}"), call("1", "{}")} { // one after the other: a call can be overtaken
			go c.client(line)
			c.serverGets(line)
		}
		response := `{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"x"}}` + "\n"
		go c.server(response)
		c.clientGets(response)
	}
}

func TestIDsAreRememberedOnce(t *testing.T) {
	t.Parallel()
	r := newRequests(testMax)
	for i, c := range []struct {
		id     string
		unique bool
	}{{`1`, true}, {`2`, true}, {`1`, false}, {`"1"`, false}, {`"a"`, true}, {`"\u0061"`, false}, {`-7`, true}, {`999999999999999`, true}} {
		if got := r.sent(json.RawMessage(c.id)); got != c.unique {
			t.Errorf("%d, %s: %v", i, c.id, got)
		}
	}
	for _, id := range []string{`-0`, `1.0`, `1e3`, `null`, `true`, `[]`, `{"a":1}`, `9007199254740993`, `"\ud800"`, `"\u0000"`} {
		r := newRequests(testMax)
		if r.sent(json.RawMessage(id)) || r.sent(json.RawMessage("3")) {
			t.Errorf("after %s, ids are unique", id)
		}
	}
	for i := range maxSent + 1 {
		id, _ := json.Marshal(i + 1000)
		r.sent(id)
	}
	if r.sent(json.RawMessage("8")) || len(r.ids) > maxSent {
		t.Errorf("%d ids are remembered", len(r.ids))
	}
}

// A server answers a request whose id it does not accept with the id null, so the gate would wait for ever.
func TestLongIDsAreNotKept(t *testing.T) {
	t.Parallel()
	s := settings()
	s.Listed = func(json.RawMessage) {}
	c := converse(t, s, fakeJudge{})
	for _, method := range []string{"initialize", "tools/list"} {
		line := `{"jsonrpc":"2.0","id":["` + strings.Repeat(method, 1000) + `"],"method":"` + method + `"}` + "\n"
		go c.client(line)
		c.serverGets(line)
	}
	if c.pump.requests.awaiting() {
		t.Error("the gate keeps the long ids")
	}
}
