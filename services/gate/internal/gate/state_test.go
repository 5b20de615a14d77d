package gate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// url is the _meta of a client of MCP 2026-07-28 that can show links.
var url = modern(`{"elicitation":{"url":{}}}`)

// asked judges a call whose answer must ask the client to show a link, and returns the requestState.
func asked(t *testing.T, g *Gate, c message.Call) string {
	t.Helper()
	return readAsked(t, g.Judge(t.Context(), person, c, receiver{}))
}

func readAsked(t *testing.T, v Verdict) string {
	t.Helper()
	a := read(t, v)
	ask := a.Result.InputRequests[inputKey]
	if a.Result.ResultType != "input_required" || len(a.Result.InputRequests) != 1 || ask.Method != "elicitation/create" || ask.Params["mode"] != "url" ||
		!strings.HasPrefix(ask.Params["url"], clienttest.Link) || ask.Params["elicitationId"] == "" || !strings.HasPrefix(a.Result.RequestState, statePrefix) {
		t.Fatalf("%s", v.Answer)
	}
	return a.Result.RequestState
}

// retry returns the members of params with which a client repeats a call.
func retry(state, action string) string {
	return fmt.Sprintf(`,"requestState":%q,"inputResponses":{"countersign":{"action":%q}}`, state, action) + url
}

func TestModernClientShowsTheLinkAndRepeatsTheCall(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	state := asked(t, g, transfer(t, url, `,"requestState":"of the server","inputResponses":{"server":{"action":"accept"}}`))
	waits := polled(d)
	verdict := judge(t.Context(), g, person, transfer(t, retry(state, "accept")), receiver{})
	receive(t, waits)
	d.Decide("approved")
	c := executed(t, d, receive(t, verdict))
	if c.RequestState == nil || *c.RequestState != "of the server" || string(c.InputResponses) != `{"server":{"action":"accept"}}` {
		t.Errorf("the server gets the state %v and the inputs %s", c.RequestState, c.InputResponses)
	}
	if next := asked(t, g, transfer(t, retry(state, "accept"))); next == state || len(d.Approvals()) != 2 {
		t.Error("a requestState runs a call twice")
	}
}

func TestRetryAfterARestartOrAtAnotherReplica(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	state := asked(t, g, transfer(t, url))
	d.Decide("approved")
	c := executed(t, d, another(t, d).Judge(t.Context(), person, transfer(t, retry(state, "accept")), receiver{}))
	if c.RequestState != nil || c.InputResponses != nil {
		t.Errorf("the server gets the state and the inputs of the gate: %s", c.Raw)
	}
}

func TestRetryThatIsStillPendingIsAskedAgain(t *testing.T) {
	t.Parallel()
	d, g := start(t, func(c *Config) { c.Wait = time.Millisecond })
	state := asked(t, g, transfer(t, url))
	for range 3 {
		state = asked(t, g, transfer(t, retry(state, "accept")))
	}
	if len(d.Approvals()) != 1 {
		t.Errorf("%+v", d.Approvals())
	}
	d.Decide("denied")
	if a := read(t, g.Judge(t.Context(), person, transfer(t, retry(state, "accept")), receiver{})); !strings.Contains(a.text(), "denied") || a.Result.ResultType != "complete" {
		t.Errorf("%+v", a)
	}
}

func TestRetryWithDeclineCancelsTheApproval(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"decline", "cancel"} {
		d, g := start(t)
		state := asked(t, g, transfer(t, url))
		d.Decide("approved")
		a := read(t, g.Judge(t.Context(), person, transfer(t, retry(state, action)), receiver{}))
		if !a.Result.IsError || !strings.Contains(a.text(), "declined") || d.Approvals()[0].Status != "cancelled" {
			t.Errorf("%s: %+v, %+v", action, a, d.Approvals())
		}
	}
}

func TestStateOfAnotherCallIsRefused(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	d.Mode("approval")
	state := asked(t, g, transfer(t, url))
	d.Decide("approved")
	expired, err := g.seal(statefor(g, transfer(t), d.Approvals()[0].ID), time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := g.Sealer.Seal("session", statefor(g, transfer(t), d.Approvals()[0].ID), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	same := `{"amount":1,"to":"` + canary + `"}`
	for name, test := range map[string]struct {
		from            Caller
		tool, arguments string
		state           string
	}{
		"another customer":  {Caller{Person: client.Person{Customer: "another"}}, "transfer", same, state},
		"another identity":  {Caller{Person: client.Person{Customer: clienttest.Customer, Identity: "i"}}, "transfer", same, state},
		"another tool":      {person, "delete", same, state},
		"other arguments":   {person, "transfer", `{"amount":2,"to":"` + canary + `"}`, state},
		"no arguments":      {person, "transfer", "null", state},
		"changed":           {person, "transfer", same, state[:20] + flip(state[20]) + state[21:]},
		"shorter":           {person, "transfer", same, state[:len(state)-4]},
		"longer":            {person, "transfer", same, state + "AAAA"},
		"only the prefix":   {person, "transfer", same, statePrefix},
		"expired":           {person, "transfer", same, expired},
		"another purpose":   {person, "transfer", same, statePrefix + foreign},
		"more than 64 KiB":  {person, "transfer", same, statePrefix + strings.Repeat("A", maxState+1)},
		"not sealed":        {person, "transfer", same, statePrefix + `{"call":""}`},
		"of an open policy": {person, "delete", `{}`, state},
	} {
		before := len(d.Requests())
		a := read(t, g.Judge(t.Context(), test.from, call(t, test.tool, test.arguments, retry(test.state, "accept")), receiver{}))
		if a.Error == nil || a.Error.Code != message.CodeInvalidParams || !strings.Contains(a.Error.Message, "params.requestState") || len(d.Requests()) != before {
			t.Errorf("%s: %+v", name, a)
		}
	}
	// The refused tries used nothing up.
	executed(t, d, g.Judge(t.Context(), person, transfer(t, retry(state, "accept")), receiver{}))
}

func flip(b byte) string {
	if b == 'A' {
		return "B"
	}
	return "A"
}

func statefor(g *Gate, c message.Call, approval string) state {
	j := g.request(person, c, receiver{})
	return state{Call: j.identity(), Approval: approval, Grants: client.GrantsAction}
}

func TestStateOfTheServerIsKept(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	for _, state := range []string{"", "cst1", "CST1.x", "x", strings.Repeat("x", 100_000)} {
		read(t, g.Judge(t.Context(), person, transfer(t, fmt.Sprintf(`,"requestState":%q`, state)), receiver{}))
		d.Decide("approved")
		c := executed(t, d, g.Judge(t.Context(), person, transfer(t, fmt.Sprintf(`,"requestState":%q,"inputResponses":{"countersign":1}`, state)), receiver{}))
		if c.RequestState == nil || *c.RequestState != state || string(c.InputResponses) != `{"countersign":1}` {
			t.Errorf("the server gets %s", c.Raw)
		}
	}
}

func TestStateThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	_, g := start(t)
	large := fmt.Sprintf(`,"requestState":%q`, strings.Repeat("x", 60_000))
	a := read(t, g.Judge(t.Context(), person, transfer(t, url, large), receiver{}))
	if a.Error == nil || a.Error.Code != message.CodeInvalidParams || !strings.Contains(a.Error.Message, "too large") {
		t.Errorf("%+v", a)
	}
}

// approved returns the verdict of an approved call of a modern client.
func approved(t *testing.T, d *clienttest.Countersign, g *Gate) Verdict {
	t.Helper()
	state := asked(t, g, transfer(t, url))
	d.Decide("approved")
	v := g.Judge(t.Context(), person, transfer(t, retry(state, "accept")), receiver{})
	executed(t, d, v)
	return v
}

const wantsInput = `{"jsonrpc":"2.0","id":"c1","result":{"resultType":"input_required","requestState":"of the server","inputRequests":{"name":{"method":"elicitation/create"}},"_meta":{"a":1}}}`

// wrapped returns the requestState in a response that the gate changed.
func wrapped(t *testing.T, response []byte) string {
	t.Helper()
	var a answer
	if err := json.Unmarshal(response, &a); err != nil || !strings.HasPrefix(a.Result.RequestState, statePrefix) || a.Result.InputRequests["name"].Method == "" || !strings.Contains(string(response), `"_meta":{"a":1}`) {
		t.Fatalf("%v in %s", err, response)
	}
	return a.Result.RequestState
}

func TestServerThatWantsInputsGetsThemInTheSameExecution(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	v := approved(t, d, g)
	for range 2 { // the server may ask again
		state := wrapped(t, v.Response([]byte(wantsInput)))
		before := len(d.Requests())
		inputs := fmt.Sprintf(`,"requestState":%q,"inputResponses":{"name":{"action":"accept"},"countersign":{}}`, state) + url
		v = g.Judge(t.Context(), person, transfer(t, inputs), receiver{})
		c := executed(t, d, v)
		if len(d.Requests()) != before || c.RequestState == nil || *c.RequestState != "of the server" || string(c.InputResponses) != `{"name":{"action":"accept"},"countersign":{}}` {
			t.Errorf("the server gets %s after %q", c.Raw, d.Requests()[before:])
		}
		// The same inputs again need another approval. Then the server gets its own state.
		again := asked(t, g, transfer(t, inputs))
		d.Decide("approved")
		c = executed(t, d, g.Judge(t.Context(), person, transfer(t, retry(again, "accept")), receiver{}))
		if c.RequestState == nil || *c.RequestState != "of the server" || string(c.InputResponses) != `{"name":{"action":"accept"},"countersign":{}}` {
			t.Errorf("the server gets %s", c.Raw)
		}
	}
}

func TestContinuationIsBoundToTheCall(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	d.Mode("approval")
	state := fmt.Sprintf(`,"requestState":%q`, wrapped(t, approved(t, d, g).Response([]byte(wantsInput)))) + url
	other := Caller{Person: client.Person{Customer: "another"}}
	for name, v := range map[string]Verdict{
		"another person":  g.Judge(t.Context(), other, transfer(t, state), receiver{}),
		"another tool":    g.Judge(t.Context(), person, call(t, "delete", transferred, state), receiver{}),
		"other arguments": g.Judge(t.Context(), person, call(t, "transfer", `{}`, state), receiver{}),
	} {
		if a := read(t, v); a.Error == nil || a.Error.Code != message.CodeInvalidParams {
			t.Errorf("%s: %+v", name, a)
		}
	}
	// After a restart, the call needs another approval.
	readAsked(t, another(t, d).Judge(t.Context(), person, transfer(t, state), receiver{}))
	executed(t, d, g.Judge(t.Context(), person, transfer(t, state), receiver{}))
}

func TestParallelContinuationsRunOnce(t *testing.T) {
	t.Parallel()
	d, g := start(t, func(c *Config) { c.Wait = 0 })
	c := transfer(t, fmt.Sprintf(`,"requestState":%q`, wrapped(t, approved(t, d, g).Response([]byte(wantsInput))))+url)
	var verdicts []<-chan Verdict
	for range 10 {
		verdicts = append(verdicts, judge(t.Context(), g, person, c, receiver{}))
	}
	ran := 0
	for _, verdict := range verdicts {
		if v := receive(t, verdict); v.Forward != nil {
			ran++
		}
	}
	if ran != 1 {
		t.Errorf("%d calls ran", ran)
	}
}

func TestOtherResponsesAreNotChanged(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	v := approved(t, d, g)
	for _, response := range []string{
		`{"jsonrpc":"2.0", "id":"c1","result":{"resultType":"complete","requestState":"x"}}`,
		`{"jsonrpc":"2.0","id":"c1","result":{"content":[{"type":"text","text":"input_required"}]}}`,
		`{"jsonrpc":"2.0","id":"c1","error":{"code":1,"message":"input_required"}}`,
		`not JSON`, "",
		strings.Replace(wantsInput, "of the server", strings.Repeat("x", 60_000), 1), // too large: the next call needs an approval
	} {
		if got := string(v.Response([]byte(response))); got != response {
			t.Errorf("%.100s became %.100s", response, got)
		}
	}
	without := v.Response([]byte(strings.Replace(wantsInput, `"requestState":"of the server",`, "", 1)))
	c := executed(t, d, g.Judge(t.Context(), person, transfer(t, fmt.Sprintf(`,"requestState":%q`, wrapped(t, without)), url), receiver{}))
	if c.RequestState != nil {
		t.Errorf("the server gets %s", c.Raw)
	}
	if got := string(v.Response([]byte(wantsInput))); got != wantsInput {
		t.Errorf("a second response to the call became %s", got)
	}
}

func TestResponseToACallOfAnOlderVersionIsNotChanged(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	read(t, g.Judge(t.Context(), person, transfer(t), receiver{}))
	d.Decide("approved")
	v := g.Judge(t.Context(), person, transfer(t), receiver{})
	executed(t, d, v)
	if v.Response != nil {
		t.Error("the response is read")
	}
}

func TestSessionRetryGivesTheServerItsOwnState(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	state := asked(t, g, call(t, "balance", `{"n":1e400}`, url, `,"requestState":"of the server"`))
	d.Decide("approved")
	v := g.Judge(t.Context(), person, call(t, "balance", `{"n":1e400}`, retry(state, "accept")), receiver{})
	if got := string(v.Forward); !strings.Contains(got, `"requestState":"of the server"`) || strings.Contains(got, "inputResponses") || strings.Contains(got, message.Receipt) || !strings.Contains(got, `{"n":1e400}`) {
		t.Errorf("forwarded %s, answered %s", v.Forward, v.Answer)
	}
}

func TestBestStepAlsoLimitsModernClients(t *testing.T) {
	t.Parallel()
	_, g := start(t, func(c *Config) { c.BestStep = Progress })
	if a := read(t, g.Judge(t.Context(), person, transfer(t, url), receiver{})); !strings.Contains(a.text(), clienttest.Link) || a.Result.InputRequests != nil {
		t.Errorf("%+v", a)
	}
}

func TestExecutionEnds(t *testing.T) {
	t.Parallel()
	e := executions{values: map[string]keptExecution{}}
	e.put("old", execution{}, time.Now().Add(-time.Second))
	if _, found := e.take("old"); found {
		t.Error("an old execution goes on")
	}
	e.put("old", execution{}, time.Now().Add(-time.Second))
	e.purged = time.Time{}
	e.put("new", execution{}, time.Now().Add(time.Minute))
	if len(e.values) != 1 {
		t.Error("an old execution is kept")
	}
	if _, found := e.take("new"); !found {
		t.Error("an execution is lost")
	}
	if _, found := e.take("new"); found {
		t.Error("an execution goes on twice")
	}
}
