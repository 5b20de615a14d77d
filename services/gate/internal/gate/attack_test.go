package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// forwarded reads the call that a verdict forwards.
func forwarded(t *testing.T, v Verdict) message.Call {
	t.Helper()
	m, err := message.Parse(v.Forward)
	if err != nil {
		t.Fatalf("the call is not forwarded: %s", v.Answer)
	}
	c, err := m.Call()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A requestState of a question is sealed for one skill and one audience: a gate with the same proxy key in front of another server
// has another prefix or another audience.
func TestStateOfAGateOfAnotherServerIsRefused(t *testing.T) {
	t.Parallel()
	d, g := start(t, func(c *Config) { c.SkillPrefix = "a." })
	d.Mode("approval")
	state := asked(t, g, call(t, "b.c", "{}", url))
	d.Decide("approved")
	for name, change := range map[string]func(*Config){
		"no prefix":       func(*Config) {},
		"another prefix":  func(c *Config) { c.SkillPrefix = "b." },
		"a longer prefix": func(c *Config) { c.SkillPrefix = "a.b." },
		"upper case":      func(c *Config) { c.SkillPrefix = "A." },
		"audience":        func(c *Config) { c.SkillPrefix, c.Audience = "a.", "https://other.example" },
	} {
		a := read(t, another(t, d, change).Judge(t.Context(), person, call(t, "b.c", "{}", retry(state, "accept")), receiver{}))
		if a.Error == nil || a.Error.Code != message.CodeInvalidParams {
			t.Errorf("%s: %+v", name, a)
		}
	}
	// The prefix and the tool are one name: these gates have the same skill.
	same := another(t, d, func(c *Config) { c.SkillPrefix = "a.b." })
	forwarded(t, same.Judge(t.Context(), person, call(t, "c", "{}", retry(state, "accept")), receiver{}))
}

func TestParallelRetriesOfAQuestionRunOnce(t *testing.T) {
	t.Parallel()
	d, g := start(t, func(c *Config) { c.Wait = 0 })
	replica := another(t, d, func(c *Config) { c.Wait = 0 })
	c := transfer(t, retry(asked(t, g, transfer(t, url)), "accept"))
	d.Decide("approved")
	var verdicts []<-chan Verdict
	for range 10 {
		verdicts = append(verdicts, judge(t.Context(), g, person, c, receiver{}), judge(t.Context(), replica, person, c, receiver{}))
	}
	ran := 0
	for _, verdict := range verdicts {
		if v := receive(t, verdict); v.Forward != nil {
			executed(t, d, v)
			ran++
		}
	}
	if ran != 1 {
		t.Errorf("%d calls ran", ran)
	}
}

func TestClientThatAcceptsAThousandTimes(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	to := newReceiver()
	waits := polled(d)
	verdict := judge(t.Context(), g, legacy, transfer(t), to)
	id, _ := elicitation(t, to)
	receive(t, waits)
	var flood sync.WaitGroup
	for range 1000 {
		flood.Go(func() { respond(t, g, legacy, id, accept) })
	}
	flood.Wait()
	respond(t, g, legacy, id, `"result":{"action":"decline"}`) // the first response counts
	if a := d.Approvals(); len(a) != 1 || a[0].Status != "pending" || len(verdict) != 0 {
		t.Fatalf("%+v", a)
	}
	d.Decide("approved")
	executed(t, d, receive(t, verdict))
}

func TestProgressTokenIsSentBackAsItIs(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	for _, token := range []string{`"p"`, `""`, `0`, `-1`, `1.5`, `1e400`, `12345678901234567890`, `"` + strings.Repeat("x", 1<<20) + `"`, `"\ud800\u2028"`} {
		ctx, cancel := context.WithCancel(t.Context())
		to := newReceiver()
		verdict := judge(ctx, g, person, transfer(t, `,"_meta":{"progressToken":`+token+`}`), to)
		var p struct{ ProgressToken json.RawMessage }
		if m := receive(t, to.sent); json.Unmarshal(m.Params, &p) != nil || string(p.ProgressToken) != token {
			t.Errorf("%.50s came back as %.50s", token, p.ProgressToken)
		}
		cancel()
		receive(t, verdict)
	}
	if len(d.Approvals()) != 1 {
		t.Errorf("%d approvals", len(d.Approvals()))
	}
}

func TestCancelRacesWithTheApproval(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	ran := map[string]bool{}
	waits := polled(d)
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		verdict := judge(ctx, g, person, call(t, "transfer", fmt.Sprintf(`{"n":%d}`, i), `,"_meta":{"progressToken":1}`), newReceiver())
		receive(t, waits)
		var both sync.WaitGroup
		both.Go(func() { d.Decide("approved") })
		both.Go(cancel)
		if v := receive(t, verdict); v.Forward != nil {
			ran[string(forwarded(t, v).Arguments)] = true
		}
		both.Wait()
	}
	for _, a := range d.Approvals() {
		if ran[a.Arguments] && a.Status != "used" {
			t.Errorf("%s ran, and its approval is %s", a.Arguments, a.Status)
		}
	}
}

func TestManyIdenticalCallsRunOnce(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	waits := polled(d)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ran atomic.Int32
	var all sync.WaitGroup
	first := make(chan struct{}, 1000)
	const n = 100
	clients := make([]receiver, n)
	for i := range clients {
		clients[i] = newReceiver()
		all.Go(func() {
			if v := g.Judge(ctx, person, transfer(t, `,"_meta":{"progressToken":1}`), clients[i]); v.Forward != nil {
				ran.Add(1)
				first <- struct{}{}
			}
		})
	}
	for _, to := range clients { // each has the link
		receive(t, to.sent)
	}
	receive(t, waits)
	d.Decide("approved")
	receive(t, first)
	receive(t, waits) // the other calls wait for another approval
	cancel()
	all.Wait()
	used := int32(0)
	for _, a := range d.Approvals() {
		if a.Status == "used" {
			used++
		}
	}
	if ran.Load() != used {
		t.Errorf("%d calls ran with %d approvals", ran.Load(), used)
	}
}

func TestContextThatEndedRunsNoContinuation(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	state := wrapped(t, approved(t, d, g).Response([]byte(wantsInput)))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := transfer(t, fmt.Sprintf(`,"requestState":%q`, state)+url)
	if v := g.Judge(ended, person, c, receiver{}); v.Forward != nil || v.Answer != nil {
		t.Errorf("forwarded %s", v.Forward)
	}
	executed(t, d, g.Judge(t.Context(), person, c, receiver{}))
}
